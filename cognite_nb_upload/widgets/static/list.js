// Several files as a table: a row each with its state and its button, and a total at the end.

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function button(text, label, press) {
  const made = make("button", "jupyter-button", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.onclick = press;
  return made;
}

function bar(label) {
  const made = make("div", "cnbu-list-bar");
  made.setAttribute("role", "progressbar");
  made.setAttribute("aria-label", label);
  made.append(document.createElement("b"));
  return made;
}

function setBar(element, share, words) {
  const percent = Math.floor(100 * share);
  element.firstChild.style.width = `${100 * share}%`;
  element.setAttribute("aria-valuenow", percent);
  element.setAttribute("aria-valuetext", words);
}

const MARKS = { done: "✔", failed: "✖", stopped: "■" };
const BUTTONS = { ready: ["Remove", "remove"], failed: ["Retry", "retry"], stopped: ["Retry", "retry"] };

// A row keeps its elements: the focus stays where it is while numbers change.
class Row {
  constructor(row, model) {
    this.model = model;
    this.element = make("tr", "cnbu-list-row");
    this.state = make("td", "cnbu-list-state");
    this.mark = make("span", "cnbu-list-mark");
    this.words = make("span", "cnbu-list-words");
    this.bar = bar(row.name);
    this.act = make("td", "cnbu-list-act");
    const name = make("td", "cnbu-list-name");
    name.append(make("bdi", "", row.name));
    this.mark.ariaHidden = "true";
    this.state.append(this.mark, this.words, this.bar);
    this.element.append(name, make("td", "cnbu-list-size", row.size), this.state, this.act);
  }

  show(row) {
    this.mark.textContent = MARKS[row.mood] ?? "";
    this.words.textContent = row.words;
    this.bar.hidden = row.share === null;
    if (row.share !== null) setBar(this.bar, row.share, row.words);
    if (this.mood === row.mood) return;
    this.mood = row.mood;
    this.element.dataset.mood = row.mood;
    const [text, kind] = BUTTONS[row.mood] ?? [];
    const press = () => this.model.send({ kind, no: row.no });
    this.act.replaceChildren(...(text ? [button(text, `${text} ${row.name}`, press)] : []));
  }
}

function render({ model, el }) {
  el.classList.add("cnbu-list");
  const table = make("table", "cnbu-list-table");
  const body = document.createElement("tbody");
  const foot = make("div", "cnbu-list-total");
  const words = make("span", "cnbu-list-words");
  const whole = bar("All files");
  const pause = button("Pause", "Pause all files", () => model.send({ kind: "pause" }));
  const stop = button("Stop", "Stop all files; what is stored is kept", () => model.send({ kind: "stop" }));
  const more = make("div", "cnbu-list-more");
  const rows = new Map();
  table.setAttribute("aria-label", "Files");
  words.setAttribute("role", "status");
  table.append(body);
  foot.append(words, pause, stop);
  el.append(table, more, whole, foot);

  const show = () => {
    const shown = model.get("rows");
    const total = model.get("total");
    const kept = new Set(shown.map((row) => row.no));
    for (const [no, row] of rows)
      if (!kept.has(no)) {
        row.element.remove();
        rows.delete(no);
      }
    shown.forEach((row, at) => {
      if (!rows.has(row.no)) rows.set(row.no, new Row(row, model));
      const { element } = rows.get(row.no);
      if (body.children[at] !== element) body.insertBefore(element, body.children[at] ?? null);
      rows.get(row.no).show(row);
    });
    more.textContent = total.more ? `and ${total.more} more` : "";
    if (words.textContent !== total.words) words.textContent = total.words;
    whole.hidden = !total.running;
    setBar(whole, total.share, total.words);
    pause.hidden = stop.hidden = !total.running;
    pause.textContent = total.paused ? "Resume" : "Pause";
    pause.setAttribute("aria-label", `${pause.textContent} all files`);
  };
  model.on("change", show);
  show();
  return () => model.off("change", show);
}
export default { render };
