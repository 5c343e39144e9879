// A running upload, or a list of bars, as the kernel describes it. Text from elsewhere is set as
// text; `still` alone is HTML, which the kernel has escaped. A press goes back as a message. It follows
// `keys.js`, `left.js` and `saved.js`.

const GONE =
  "The kernel of this notebook has ended, and the upload with it. Run the cell again: " +
  "the upload is listed as unfinished there, and Resume goes on with it.";

function make(tag, css, parent) {
  const node = document.createElement(tag);
  node.className = css;
  parent.append(node);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// One bar: a label, a meter, and text beside it.
function line(parent) {
  const row = make("div", "cnbu-line", parent);
  const label = make("span", "cnbu-label", row);
  const meter = make("div", "cnbu-bar", row);
  const fill = make("b", "", meter);
  const text = make("span", "cnbu-text cnbu-words", row);
  meter.setAttribute("role", "progressbar");
  meter.setAttribute("aria-valuemin", "0");
  meter.setAttribute("aria-valuemax", "100");
  return {
    row,
    show(data) {
      setText(label, `${data.label} \u00b7 ${data.percent}`);
      label.title = data.label;
      setText(text, data.text);
      fill.style.width = `${100 * data.share}%`;
      fill.className = data.mood;
      meter.setAttribute("aria-label", data.label);
      meter.setAttribute("aria-valuenow", String(Math.floor(100 * data.share)));
      meter.setAttribute("aria-valuetext", `${data.percent}, ${data.text}`);
    },
  };
}

// The strip of all parts: one cell each, changed where something changed.
function strip(parent) {
  const node = make("div", "cnbu-strip", parent);
  node.setAttribute("role", "img");
  const cells = [];
  return (data) => {
    node.hidden = !data;
    if (!data) return;
    node.setAttribute("aria-label", data.words);
    while (cells.length > data.marks.length) cells.pop().remove();
    for (let no = 0; no < data.marks.length; no += 1) {
      const cell = cells[no] ?? (cells[no] = make("i", "", node));
      if (cell.className !== data.marks[no]) cell.className = data.marks[no];
      const fill = data.fills[no];
      if (fill === undefined) cell.removeAttribute("style");
      else cell.style.setProperty("--f", `${fill}%`);
      const title = data.titles[no];
      if (title === undefined) cell.removeAttribute("title");
      else cell.title = `part ${no}: ${title}`;
    }
  };
}

// A group of buttons; a button keeps its element, and so the focus, for as long as it is offered.
function buttons(parent, label, press) {
  const node = make("div", "cnbu-press", parent);
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", label);
  const words = make("span", "", node);
  const known = new Map();
  return {
    node,
    show(offered, said) {
      node.hidden = !offered.length;
      setText(words, said ?? "");
      words.hidden = !said;
      for (const [key, button] of known) {
        if (!offered.some((one) => one.key === key)) {
          button.remove();
          known.delete(key);
        }
      }
      for (const one of offered) {
        let button = known.get(one.key);
        if (!button) {
          button = make("button", one.quiet ? "cnbu-quiet-press" : "", node);
          node.insertBefore(button, node.querySelector(":scope > label")); // what is typed comes last
          button.type = "button";
          button.addEventListener("click", () => press(one.key));
          known.set(one.key, button);
        }
        setText(button, one.text);
        button.title = one.title;
        button.disabled = one.disabled;
        if (one.expanded === undefined) button.removeAttribute("aria-expanded");
        else button.setAttribute("aria-expanded", String(one.expanded));
      }
    },
  };
}

function limitBox(parent, id, send) {
  const label = make("label", "cnbu-limit-rate", parent);
  label.append("Limit, MiB/s");
  const input = make("input", "", label);
  input.type = "text";
  input.placeholder = "none";
  input.setAttribute("aria-describedby", id);
  let told = "";
  const tell = () => {
    if (input.value !== told) send({ do: "limit", text: (told = input.value) });
  };
  input.addEventListener("change", tell);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") tell();
  });
  return (limit, bad) => {
    label.hidden = limit === null;
    input.setAttribute("aria-invalid", String(bad));
    // What is being typed stays: only a box that nobody is in follows the kernel.
    if (limit !== null && !bad && document.activeElement !== input) input.value = told = limit;
  };
}

// Where the end takes the place of a view that has the focus, it goes to what is around that place;
// the page's body would take the next key for a command.
function keepFocus(el) {
  let around = [];
  const observer = new MutationObserver(() => {
    const free = [null, document.body].includes(document.activeElement);
    if (el.isConnected && (free || el.contains(document.activeElement))) return;
    observer.disconnect();
    const home = around.find((one) => one.isConnected);
    if (!free || !home) return;
    if (!home.hasAttribute("tabindex")) home.tabIndex = -1;
    home.focus({ preventScroll: true });
  });
  el.addEventListener("focusin", () => {
    around = [];
    for (let at = el.parentElement; at && at !== document.body; at = at.parentElement) around.push(at);
    observer.observe(document.body, { childList: true, subtree: true });
  });
}

// Where the kernel could not put the end in this view's place, because the page was loaded since.
function initialize({ model }) {
  const keep = () => {
    const { still, said, id } = model.get("shown");
    if (!id) return;
    const data = { "text/html": still, "text/plain": said };
    putInOutputs(model, (has) => has[WIDGET_VIEW]?.model_id === id, data);
  };
  const context = model.widget_manager?.context;
  model.on("change:shown", keep);
  context?.ready?.then(keep);
}

// What a screen reader says of uploads, whatever has the focus: each quarter, and the end. One element
// for all of a page, since a view is gone with its end.
function speak(text) {
  const id = "cnbu-spoken";
  let node = document.getElementById(id);
  if (!node) {
    node = make("div", id, document.body);
    node.id = id;
    node.setAttribute("role", "status");
    node.style.cssText =
      "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)";
  }
  setText(node, text);
}

function sayEnd(ended) {
  const [title, said] = [".cnbu-title", ".cnbu-said"]
    .map((css) => ended.querySelector(css)?.textContent.trim());
  return [title ?? ended.textContent, said].filter(Boolean).join(": ").slice(0, 300);
}

function speaker() {
  let told = null;
  return ({ name, rows, still }, ended) => {
    const now = still ? "end" : Math.floor(4 * (rows?.[0]?.share ?? 0));
    // A view that is folded has no name: it is one of several.
    if (told !== null && now !== told && (still || name))
      speak(still ? sayEnd(ended) : `${name} ${25 * now} %`);
    told = now;
  };
}

let made = 0;

function render({ model, el }) {
  el.classList.add("cnbu", "cnbu-live");
  el.tabIndex = -1;
  keepFocus(el);
  const ending = new AbortController();
  keepKeys(() => el, ending.signal);
  const noteId = `cnbu-note-${(made += 1)}`;
  const send = (content) => model.send(content);
  const press = (key) => send({ do: key });

  const head = make("div", "", el);
  const name = make("bdi", "cnbu-name", head);
  const size = make("span", "", head);
  const bars = make("div", "cnbu-lines", el);
  const lines = [];
  const say = speaker();
  const showStrip = strip(el);
  const words = make("div", "cnbu-words", el);
  const still = make("div", "", el);
  const tools = buttons(el, "Steer this upload", press);
  const showLimit = limitBox(tools.node, noteId, send);
  const question = buttons(el, "Stop this upload?", press);
  const note = make("div", "cnbu-told", el);
  note.id = noteId;
  note.setAttribute("role", "status");
  const gone = make("div", "cnbu-gone", el);
  gone.hidden = true;
  gone.setAttribute("role", "alert");

  const draw = () => {
    const data = model.get("shown");
    setText(name, data.name ?? "");
    setText(size, data.size ?? "");
    head.hidden = !data.name;
    const rows = data.rows ?? [];
    while (lines.length > rows.length) lines.pop().row.remove();
    rows.forEach((row, at) => (lines[at] ?? (lines[at] = line(bars))).show(row));
    bars.hidden = !rows.length;
    showStrip(data.strip);
    setText(words, data.words ?? "");
    words.hidden = !data.words;
    if (still.dataset.html !== (data.still ?? "")) {
      still.dataset.html = data.still ?? "";
      still.innerHTML = data.still ?? "";
    }
    still.hidden = !data.still;
    say(data, still);
  };

  const steer = () => {
    const data = model.get("tools");
    const had = el.contains(document.activeElement) ? document.activeElement : null;
    tools.show(data.buttons ?? []);
    question.show(data.question ?? [], "Stop this upload?");
    showLimit(data.limit ?? null, Boolean(data.bad));
    setText(note, data.note ?? "");
    note.className = `cnbu-told ${data.bad ? "error" : ""}`;
    note.hidden = !data.note;
    // The focus moves on with the question, and never falls to the page.
    if (!had || had === el) return;
    const asked = question.node.querySelector("button:enabled");
    if (asked && !question.node.contains(had)) asked.focus();
    else if (!had.isConnected || had.disabled || !had.checkVisibility()) (first() ?? el).focus();
  };
  const first = () => {
    const offered = [...tools.node.querySelectorAll("button:enabled")];
    return offered.find((one) => one.checkVisibility());
  };

  const escape = (event) => {
    if (event.key === "Escape" && !question.node.hidden) press("back");
  };
  const lost = () => {
    if (model.get("shown").still) return;
    gone.textContent = GONE;
    gone.hidden = false;
    tools.node.hidden = question.node.hidden = true;
  };
  const closed = () => {
    const { still: html } = model.get("shown");
    if (html) leave(outputOf(el), (left) => (left.innerHTML = html));
  };
  el.addEventListener("keydown", escape);
  model.on("destroy", closed);
  model.on("change:shown", draw);
  model.on("change:tools", steer);
  model.on("comm_live_update", lost);
  draw();
  steer();
  return () => {
    ending.abort();
    model.off("destroy", closed);
    model.off("change:shown", draw);
    model.off("change:tools", steer);
    model.off("comm_live_update", lost);
  };
}

export default { initialize, render };
