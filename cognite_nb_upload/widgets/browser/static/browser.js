// Files of the person's own computer, for a kernel that asks for their bytes slice by slice. It
// follows `keys.js` and `left.js`.
//
// A file stays where it is: the page keeps a handle to it, reads the slice that is asked for, and
// sends it with its CRC-32. What the kernel asks: `read`, `put` (send a part to a store's URL),
// `abort`, `ping`, `release`. What it is told: `hello`, `pong`, `chosen`, `slice`, `unreadable`,
// `sent`, `put`, `leaving`. URLs are in this page's memory only, and only while they are used.

const PROGRESS_MS = 200;
const WARN_MS = 10_000;
const ANSWER_LIMIT = 65_536;
const ANSWER_HEADERS = ["etag", "content-md5", "x-goog-hash", "content-type", "date", "retry-after",
  "cdf-is-auto-retryable"];

// --- reading a slice -----------------------------------------------------------------------------

// zlib's CRC-32, sixteen bytes at a time. The page and its reading thread make one each.
export function makeCrc32() {
  const T = new Int32Array(16 * 256); // sixteen tables in a row: a quarter faster than as many arrays
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    T[n] = c;
  }
  for (let i = 256; i < T.length; i++) T[i] = T[T[i - 256] & 255] ^ (T[i - 256] >>> 8);
  return (buffer) => {
    const bytes = new Uint8Array(buffer);
    const words = new Int32Array(buffer, 0, (bytes.length >> 4) * 4); // little-endian everywhere
    let crc = -1;
    for (let i = 0; i < words.length; i += 4) {
      const a = words[i] ^ crc, b = words[i + 1], c = words[i + 2], d = words[i + 3];
      crc = T[3840 + (a & 255)] ^ T[3584 + ((a >>> 8) & 255)] ^ T[3328 + ((a >>> 16) & 255)] ^ T[3072 + (a >>> 24)]
        ^ T[2816 + (b & 255)] ^ T[2560 + ((b >>> 8) & 255)] ^ T[2304 + ((b >>> 16) & 255)] ^ T[2048 + (b >>> 24)]
        ^ T[1792 + (c & 255)] ^ T[1536 + ((c >>> 8) & 255)] ^ T[1280 + ((c >>> 16) & 255)] ^ T[1024 + (c >>> 24)]
        ^ T[768 + (d & 255)] ^ T[512 + ((d >>> 8) & 255)] ^ T[256 + ((d >>> 16) & 255)] ^ T[d >>> 24];
    }
    for (let i = words.length * 4; i < bytes.length; i++) crc = T[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
    return ~crc >>> 0;
  };
}

// What runs in the reading thread; it sees nothing of this file but what it is given.
function readingThread(crc32) {
  const reader = new FileReaderSync();
  onmessage = ({ data: { no, slice } }) => {
    try {
      const bytes = reader.readAsArrayBuffer(slice);
      postMessage({ no, bytes, crc: crc32(bytes) }, [bytes]);
    } catch (error) {
      postMessage({ no, error: error.name });
    }
  };
}

// Reads slices and their CRC-32 in a thread of its own: measured, an eighth faster, and the page
// stays quick meanwhile. Where a page may have no such thread, it does the work itself.
export class SliceReader {
  constructor() {
    this.waiting = new Map(); // number -> what is read, and whom to tell
    this.count = 0;
    this.thread = undefined;
  }

  read(slice) {
    if (this.thread === undefined) this.start();
    if (!this.thread) return this.readHere(slice);
    return new Promise((tell) => {
      this.waiting.set(++this.count, { slice, tell });
      this.thread.postMessage({ no: this.count, slice });
    });
  }

  start() {
    const code = `(${readingThread})((${makeCrc32})())`;
    this.url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    try {
      this.thread = new Worker(this.url);
      this.thread.onmessage = ({ data: { no, ...told } }) => {
        this.waiting.get(no)?.tell(told);
        this.waiting.delete(no);
      };
      this.thread.onerror = () => this.goWithout(); // a policy of the page forbids it, say
    } catch {
      this.goWithout();
    }
  }

  goWithout() {
    this.close();
    for (const { slice, tell } of this.waiting.values()) this.readHere(slice).then(tell);
    this.waiting.clear();
  }

  async readHere(slice) {
    this.crc32 ??= makeCrc32();
    try {
      const bytes = await slice.arrayBuffer();
      return { bytes, crc: this.crc32(bytes) };
    } catch (error) {
      return { error: error.name };
    }
  }

  close() {
    this.thread?.terminate();
    this.thread = null;
    URL.revokeObjectURL(this.url);
  }
}

// --- what this page holds, and what it does for the kernel ---------------------------------------

export class Holder {
  constructor(send) {
    this.send = send;
    this.page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
    this.files = new Map(); // key -> File
    this.reader = new SliceReader();
    this.reading = new Set(); // numbers of the slices in hand
    this.puts = new Map(); // number -> XMLHttpRequest
    this.sent = new Map(); // number -> bytes, since the kernel was last told
    this.telling = 0; // a timer, while something is sent
    this.count = 0;
    this.readAt = -Infinity;
  }

  get inUse() {
    return this.puts.size > 0 || performance.now() - this.readAt < WARN_MS;
  }

  choose(files) {
    const chosen = Array.from(files, (file) => {
      const key = `${this.page}-${++this.count}`;
      this.files.set(key, file);
      const { name, size, lastModified: modified } = file;
      return { key, name, size, modified, folder: folderOf(file) };
    });
    if (chosen.length) this.send({ kind: "chosen", page: this.page, files: chosen });
  }

  here(kind, more) {
    const working = [...this.reading, ...this.puts.keys()];
    this.send({ kind, page: this.page, holds: [...this.files.keys()], working, ...more });
  }

  heard(message) {
    if (message.kind === "ping") this.here("pong", { no: message.no });
    else if (message.kind === "read" && this.files.has(message.key)) this.read(message);
    else if (message.kind === "put" && this.files.has(message.key)) this.put(message);
    else if (message.kind === "abort") this.puts.get(message.no)?.abort();
    else if (message.kind === "release") this.files.delete(message.key);
  }

  async read({ no, key, pieces }) {
    this.readAt = performance.now();
    this.reading.add(no);
    const file = this.files.get(key);
    const slice = new Blob(pieces.map(([at, size]) => file.slice(at, at + size)));
    const { bytes, crc, error } = await this.reader.read(slice);
    if (error) this.send({ kind: "unreadable", no, key, error });
    else this.send({ kind: "slice", no, crc }, [bytes]);
    this.reading.delete(no);
  }

  put({ no, key, at, size, url }) {
    const request = new XMLHttpRequest();
    const body = this.files.get(key).slice(at, at + size, ""); // no type: no Content-Type
    this.puts.set(no, request);
    request.upload.onprogress = (event) => this.progress(no, event.loaded);
    request.onloadend = () => this.ended(no, key, body, request, url);
    try {
      request.open("PUT", url);
      request.send(body);
    } catch {
      request.onloadend = null;
      this.ended(no, key, body, request, url);
    }
  }

  // The first bytes are told at once: they say that this way to the store is open.
  progress(no, loaded) {
    this.sent.set(no, loaded);
    if (!this.telling) this.tellOften();
  }

  tellOften() {
    this.telling = this.sent.size && setTimeout(() => this.tellOften(), PROGRESS_MS);
    this.tellSent();
  }

  tellSent() {
    if (this.sent.size) this.send({ kind: "sent", sent: [...this.sent] });
    this.sent.clear();
  }

  async ended(no, key, body, request, url) {
    const { status } = request;
    const headers = {};
    for (const name of status ? ANSWER_HEADERS : []) {
      const value = request.getResponseHeader(name);
      if (value !== null) headers[name] = value;
    }
    const text = (status && request.responseText.slice(0, ANSWER_LIMIT)) || "";
    const error = status ? "" : await unreadable(body);
    this.tellSent();
    const redirected = status > 0 && new URL(request.responseURL).host !== new URL(url).host;
    this.send({ kind: "put", no, key, status, headers, text, error, redirected });
    this.puts.delete(no); // not before: what is neither at work nor told counts as lost
  }
}

// A request that failed without an answer: was it the network, or the file?
async function unreadable(body) {
  try {
    await body.slice(0, 1).arrayBuffer();
    await body.slice(-1).arrayBuffer();
    return "";
  } catch (error) {
    return error.name;
  }
}

// --- what one sees -------------------------------------------------------------------------------

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function showRows(list, model, holder, input) {
  const had = [...list.children].findIndex((item) => item.contains(document.activeElement));
  const no = list.children[had]?.dataset.no;
  const rows = model.get("rows").map((row) => {
    const item = make("li", `cnbu-drop-file cnbu-drop-${row.mood}`);
    const away = row.key && !holder.files.has(row.key) && row.mood === "ready";
    const words = away ? "this page was loaded anew: drop the same file again" : row.words;
    const name = make("bdi", "cnbu-drop-name", row.name);
    const remove = make("button", "cnbu-drop-remove", "Remove");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${row.name}`);
    remove.disabled = model.get("disabled");
    remove.onclick = () => model.send({ kind: "remove", no: row.no });
    item.dataset.no = row.no;
    item.append(name, make("span", "cnbu-drop-size", row.size), make("span", "cnbu-drop-words", words), remove);
    return item;
  });
  list.replaceChildren(...rows);
  if (had < 0) return;
  // The focus stays where it was, or goes to what is next to that place.
  const next = rows.find((item) => item.dataset.no === no) ?? rows[had] ?? rows.at(-1);
  (next?.querySelector("button:enabled") ?? input).focus();
}

function hasFiles(event) {
  return Array.from(event.dataTransfer?.types ?? []).includes("Files");
}

// File -> where it lies in the folder that was dropped; for all widgets of the page.
const folders = (globalThis[Symbol.for("cognite_nb_upload.folders")] ??= new WeakMap());
const folderOf = (file) =>
  folders.get(file) ?? (file.webkitRelativePath ?? "").split("/").slice(1, -1).join("/");

// What is dropped, the files of folders among it. Entries are there only while the event lasts.
function droppedFiles(event) {
  const items = Array.from(event.dataTransfer.items ?? []).filter((item) => item.kind === "file");
  if (!items.length) return Promise.resolve(Array.from(event.dataTransfer.files));
  const found = items.map((item) => {
    const entry = item.webkitGetAsEntry?.();
    return entry?.isDirectory ? filesBelow(entry, "") : [item.getAsFile()];
  });
  return Promise.all(found).then((all) => all.flat());
}

async function filesBelow(folder, path) {
  const reader = folder.createReader();
  const entries = [];
  for (let some; (some = await new Promise((ok, no) => reader.readEntries(ok, no))).length; )
    entries.push(...some); // a browser gives at most 100 at once
  const found = entries
    .filter((entry) => !entry.name.startsWith("."))
    .map(async (entry) => {
      if (entry.isDirectory) return filesBelow(entry, path ? `${path}/${entry.name}` : entry.name);
      const file = await new Promise((ok, no) => entry.file(ok, no));
      folders.set(file, path);
      return [file];
    });
  return (await Promise.all(found)).flat();
}

// --- files that are chosen too late --------------------------------------------------------------
//
// A dialog may be open while the kernel ends, or while the cell is run again. The widget that it
// belongs to cannot tell any kernel what is chosen: the one that the cell makes next in this page
// takes it.

const CELLS = Symbol.for("cognite_nb_upload.cells");
const WAIT_MS = 50;
const GONE = "The kernel has ended. Run this cell again; what you choose here is taken then.";

// What a cell shows: `taker`, which takes files, and `late`, those that nobody took.
function cellOf(el) {
  const cell = el.closest(".jp-Cell") ?? document.body;
  const cells = (globalThis[CELLS] ??= new WeakMap());
  if (!cells.has(cell)) cells.set(cell, { taker: null, late: [] });
  return cells.get(cell);
}

function whenShown(el, signal, call) {
  if (signal.aborted) return;
  if (el.isConnected) call();
  else setTimeout(whenShown, WAIT_MS, el, signal, call);
}

const namesOf = (files) => (files.length === 1 ? files[0].name : `${files.length} files`);

class Taker {
  constructor(holder, input, note) {
    Object.assign(this, { holder, input, note, lost: false, cell: null, output: null });
  }

  shown(el) {
    this.cell = cellOf(el);
    this.output = outputOf(el);
    this.cell.taker = this;
    const late = this.cell.late.splice(0);
    if (late.length) this.take(late);
  }

  take(files) {
    const some = this.input.multiple ? Array.from(files) : Array.from(files).slice(0, 1);
    if (!some.length) return;
    if (!this.lost) this.holder.choose(some);
    else if (this.cell && this.cell.taker !== this) this.cell.taker.take(some);
    else this.keep(some);
  }

  keep(files) {
    for (const file of files) folders.set(file, folderOf(file));
    const late = this.cell?.late ?? [];
    if (!this.input.multiple) late.length = 0;
    late.push(...files);
    const words = `Run this cell again: ${namesOf(late)} will be taken then.`;
    this.note.classList.add("cnbu-drop-late");
    if (this.note.isConnected) this.note.textContent = words;
    else leaveText(this.output, words);
  }
}

function makeFolderPick(taker) {
  const label = make("label", "cnbu-drop-pick");
  const input = make("input", "cnbu-drop-folder");
  input.type = "file";
  input.webkitdirectory = true;
  label.append(make("span", "", "a folder"), input);
  input.setAttribute("aria-label", "Choose a folder of this computer");
  input.addEventListener("change", () => {
    taker.take(Array.from(input.files).filter((file) => !/(^|\/)\./.test(file.webkitRelativePath)));
    input.value = "";
  });
  return { label, input };
}

function render({ model, el }, holder) {
  const zone = make("div", "cnbu-drop");
  const label = make("label", "cnbu-drop-pick");
  const words = make("span", "cnbu-drop-label");
  const input = make("input", "cnbu-drop-input");
  const list = make("ul", "cnbu-drop-files");
  const note = make("div", "cnbu-drop-note");
  input.type = "file";
  label.append(words, input);
  const taker = new Taker(holder, input, note);
  const folder = makeFolderPick(taker);
  zone.append(label, folder.label, make("span", "cnbu-drop-or", "or drop here"));
  zone.setAttribute("role", "group");
  note.setAttribute("role", "status");
  el.append(zone, list, note);

  const show = () => {
    const text = model.get("label");
    words.textContent = text;
    zone.setAttribute("aria-label", text);
    list.setAttribute("aria-label", "Chosen files");
    input.multiple = model.get("multiple");
    input.disabled = folder.input.disabled = model.get("disabled");
    folder.label.hidden = !input.multiple;
    zone.classList.toggle("cnbu-drop-off", input.disabled);
    note.textContent = model.get("note");
    showRows(list, model, holder, input);
  };
  const over = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    event.dataTransfer.dropEffect = input.disabled ? "none" : "copy";
    zone.classList.toggle("cnbu-drop-over", !input.disabled);
  };
  const leave = () => zone.classList.remove("cnbu-drop-over");
  const drop = (event) => {
    if (!hasFiles(event)) return;
    over(event);
    leave();
    if (input.disabled) return;
    droppedFiles(event).then(
      (files) => {
        taker.take(files);
        if (!files.length) note.textContent = "There is no file in what was dropped.";
      },
      (error) => (note.textContent = `The folder cannot be read: ${error.name}.`),
    );
  };
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragleave", leave);
  zone.addEventListener("drop", drop);
  input.addEventListener("change", () => {
    taker.take(input.files);
    input.value = ""; // the same file may be picked again
  });
  const dead = () => {
    taker.lost = true;
    note.textContent = GONE;
  };
  const closed = () => {
    taker.lost = true;
    if (model.get("left")) leaveText(taker.output, model.get("left"));
  };
  const ending = new AbortController();
  keepKeys(() => el, ending.signal);
  whenShown(el, ending.signal, () => taker.shown(el));
  model.on("change", show);
  model.on("comm_live_update", dead);
  model.on("destroy", closed);
  show();
  return () => {
    ending.abort();
    model.off("change", show);
    model.off("comm_live_update", dead);
    model.off("destroy", closed);
  };
}

// A file that is dropped beside the zone would replace the page, and end what reads from it.
function missed(event) {
  if (!hasFiles(event) || event.defaultPrevented) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
}

function watchPage(holder) {
  const leaving = (event) => event.persisted || holder.here("leaving", { holds: [] });
  const back = (event) => event.persisted && holder.here("hello");
  const warn = (event) => holder.inUse && event.preventDefault();
  const listeners = { pagehide: leaving, pageshow: back, beforeunload: warn, dragover: missed, drop: missed };
  for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) removeEventListener(name, listener);
    for (const request of holder.puts.values()) request.abort();
    holder.files.clear();
    holder.reader.close();
  };
}

export default () => {
  let holder;
  return {
    initialize({ model }) {
      holder = new Holder((message, buffers = []) => model.send(message, undefined, buffers));
      model.on("msg:custom", (message) => holder.heard(message));
      holder.here("hello");
      return watchPage(holder);
    },
    render: (view) => render(view, holder),
  };
};
