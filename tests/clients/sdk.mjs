// The official JavaScript SDK, as users write it: its whole files surface, and what is beside.
import { createRequire } from "node:module";

const { CogniteClient } = createRequire(process.cwd() + "/")("@cognite/sdk");
const { EMULATED_URL: baseUrl, EMULATED_PROJECT: project, EMULATED_TOKEN: token } = process.env;
const client = new CogniteClient({
  appId: "tests",
  project,
  baseUrl,
  oidcTokenProvider: async () => token,
});
await client.authenticate();

const report = (name, outcome) => console.log(JSON.stringify([name, outcome]));
const same = (a, b) => {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`);
};
const step = async (name, work) => {
  try {
    await work();
    report(name, "ok");
  } catch (error) {
    report(name, `${error}`.slice(0, 500));
  }
};
const fails = async (work, status) => {
  try {
    await work();
  } catch (error) {
    return same(error.status, status);
  }
  throw new Error("It was not refused.");
};
const content = async (id) => {
  const [{ downloadUrl }] = await client.files.getDownloadUrls([id]);
  return Buffer.from(await (await fetch(downloadUrl)).arrayBuffer()).toString();
};
const everything = async (list) => list.autoPagingToArray({ limit: Infinity });

await step("upload", async () => {
  const made = await client.files.upload(
    { name: "a.txt", externalId: "a", mimeType: "text/plain", metadata: { k: "v" }, dataSetId: 7 },
    "some text",
  );
  same(made.name, "a.txt");
  same(await content({ externalId: "a" }), "some text");
});
await step("upload a buffer", async () => {
  await client.files.upload({ name: "b.bin", externalId: "b" }, Buffer.from("bytes"), false, true);
  same(await content({ externalId: "b" }), "bytes");
});
await step("upload without content", async () => {
  const made = await client.files.upload({ name: "c", externalId: "c" });
  same(typeof made.uploadUrl, "string");
  same(made.uploaded, false);
});
await step("upload a duplicate", async () =>
  fails(() => client.files.upload({ name: "a", externalId: "a" }, "x"), 409));
await step("overwrite", async () => {
  await client.files.upload({ name: "a.txt", externalId: "a" }, "new text", true);
  same(await content({ externalId: "a" }), "new text");
});
await step("multipart session", async () => {
  const session = await client.files.multipartUploadSession({ name: "m", externalId: "m" }, 2);
  await session.uploadPart(0, Buffer.alloc(5 * 1024 * 1024, "x"));
  await session.uploadPart(1, Buffer.from("end"));
  same((await content({ externalId: "m" })).length, 5 * 1024 * 1024 + 3);
});
await step("retrieve", async () => {
  const [found] = await client.files.retrieve([{ externalId: "a" }]);
  same(found.metadata, { k: "v" });
  same(found.uploadedTime instanceof Date, true);
  await fails(() => client.files.retrieve([{ externalId: "nowhere" }]), 400);
  same(await client.files.retrieve([{ id: 1 }], { ignoreUnknownIds: true }), []);
});
await step("retrieve an instance", async () => {
  const [found] = await client.files.retrieve([{ instanceId: { space: "scans", externalId: "deck_1" } }]);
  same(found.instanceId.externalId, "deck_1");
});
await step("list", async () => {
  same((await client.files.list({ filter: { name: "a.txt" } })).items.length, 1);
  same((await everything(client.files.list({ limit: 2 }))).length >= 5, true);
});
await step("list by time", async () => {
  const filter = { uploadedTime: { min: new Date(0), max: new Date(Date.now() + 1e6) } };
  same((await everything(client.files.list({ filter }))).length, 3);
});
await step("list in partitions", async () => {
  const [one, two] = await Promise.all(
    ["1/2", "2/2"].map((partition) => everything(client.files.list({ partition }))),
  );
  same(one.length + two.length, (await everything(client.files.list())).length);
});
await step("list by what is related", async () => {
  const filter = { dataSetIds: [{ externalId: "seismic" }], externalIdPrefix: "a", uploaded: true };
  same((await client.files.list({ filter })).items.map((each) => each.externalId), ["a"]);
});
await step("search", async () => {
  const [found] = await client.files.search({ search: { name: "a txt" }, filter: { uploaded: true } });
  same(found.externalId, "a");
});
await step("aggregate", async () => {
  same(await client.files.aggregate({ filter: { externalIdPrefix: "a" } }), [{ count: 1 }]);
});
await step("update", async () => {
  const update = { source: { set: "s" }, metadata: { add: { l: "2" }, remove: ["k"] }, labels: { add: [{ externalId: "raw" }] } };
  const [changed] = await client.files.update([{ externalId: "a", update }]);
  same([changed.source, changed.metadata, changed.labels.length], ["s", { l: "2" }, 1]);
  const [cleared] = await client.files.update([{ externalId: "a", update: { source: { setNull: true } } }]);
  same(cleared.source, undefined);
});
await step("delete", async () => {
  same(await client.files.delete([{ externalId: "c" }]), {});
  await fails(() => client.files.delete([{ externalId: "c" }]), 400);
});
await step("data sets", async () => {
  const [made] = await client.datasets.create([{ externalId: "js", name: "JS" }]);
  same((await client.datasets.retrieve([{ id: made.id }]))[0].name, "JS");
  const [changed] = await client.datasets.update([{ id: made.id, update: { description: { set: "d" } } }]);
  same(changed.description, "d");
  same((await everything(client.datasets.list({ filter: { writeProtected: true } }))).length, 1);
  same((await client.datasets.aggregate({}))[0].count >= 7, true);
});
await step("labels", async () => {
  await client.labels.create([{ externalId: "js", name: "JS" }]);
  same((await everything(client.labels.list({ filter: { name: "JS" } }))).length, 1);
  await client.labels.delete([{ externalId: "js" }]);
});
await step("assets", async () => {
  same((await everything(client.assets.list({ filter: { root: true } }))).length, 2);
  const [root, leaf] = await client.assets.create([
    { name: "root", externalId: "root" },
    { name: "leaf", parentExternalId: "root" },
  ]);
  same(leaf.rootId, root.id);
  const [changed] = await client.assets.update([{ id: leaf.id, update: { name: { set: "blade" } } }]);
  same(changed.name, "blade");
  const [found] = await client.assets.retrieve([{ id: root.id }], { aggregatedProperties: ["childCount"] });
  same(found.aggregates.childCount, 1);
  same((await client.assets.aggregate({ filter: { root: true } }))[0].count, 3);
  await client.assets.delete([{ id: root.id }], { recursive: true });
});
await step("assets searched", async () => {
  const [found] = await client.assets.search({ search: { query: "pump power" } });
  same(found.description.includes("Pump"), true);
});
await step("groups", async () => same((await client.groups.list()).length, 1));
await step("security categories", async () => {
  same((await everything(client.securityCategories.list())).length, 4);
});
await step("the project", async () => same((await client.projects.retrieve(project)).urlName, project));
await step("token", async () => {
  const { data } = await client.get("/api/v1/token/inspect");
  same(data.projects[0].projectUrlName, project);
});
await step("a wrong token", async () => {
  const stranger = new CogniteClient({ appId: "t", project, baseUrl, oidcTokenProvider: async () => "x" });
  await stranger.authenticate();
  await fails(() => stranger.files.list(), 401);
});
