// What a top-level widget does in the page, besides its style sheet: typed text reaches the kernel
// before the press that acts on it, and the keyboard's focus is neither lost nor taken away. It
// follows `keys.js`, `left.js` and `saved.js`.

// --- typed text goes ahead of a press ------------------------------------------------------------
//
// ipywidgets holds text back until the kernel has taken the text before it (`_msg_buffer`, one for
// each model), and sends a click or Enter at once. So all text within `root` that is held back is
// sent just before a press, as ipywidgets does it itself. The two fields are private, and the same
// from @jupyter-widgets/base 4.1 to 6.0.12; where they have other names, nothing is sent earlier.

const PRESSES = ["click", "pointerdown", "change", "drop", "keydown"];

function sendNow(model) {
  const state = model._msg_buffer;
  if (!state) return;
  const callbacks = model._msg_buffer_callbacks;
  model._msg_buffer = model._msg_buffer_callbacks = null;
  model.rememberLastUpdateFor(model.send_sync_message(state, callbacks));
}

function sendWithin(model) {
  sendNow(model);
  for (const child of model.get("children") ?? []) sendWithin(child);
}

// Presses elsewhere count too: a cell that is run next sees what was typed.
function onPress(event, root) {
  if (event.type === "keydown") {
    if (event.key !== "Enter" || event.isComposing) return;
    // A box that tells its text when it is left tells it on Enter as well.
    if (event.target.matches?.(".cnbu-form input[type=text]"))
      event.target.dispatchEvent(new Event("change", { bubbles: true }));
  }
  try {
    sendWithin(root);
  } catch (error) {
    console.warn("Typed text could not be sent ahead of a press.", error);
  }
}

// An answer of the kernel may move a button away between the two halves of a press: the browser then
// tells the click to what is around both places, and the press would be lost.
const STILL_PX = 4;

function keepPresses(isOurs, signal) {
  let down = null;
  const on = (name, listener) =>
    document.addEventListener(name, listener, { capture: true, signal });
  on("pointerdown", (event) => {
    const button = event.isPrimary && event.button === 0 && event.target.closest?.("button");
    down = button && isOurs(button) ? { button, x: event.clientX, y: event.clientY } : null;
  });
  on("click", (event) => {
    const was = down;
    down = null;
    if (!was || !event.isTrusted || event.isKept || was.button.contains(event.target)) return;
    const moved = Math.hypot(event.clientX - was.x, event.clientY - was.y);
    if (moved >= STILL_PX || !event.target.contains(was.button)) return;
    event.isKept = true; // a form within a panel hears of it, too
    was.button.click();
  });
}

async function rootOf(model) {
  const id = model.get("root");
  if (id && model.widget_manager) return model.widget_manager.get_model(id.replace("IPY_MODEL_", ""));
}

function sendAhead(root, signal) {
  const press = (event) => onPress(event, root);
  for (const name of PRESSES) document.addEventListener(name, press, { capture: true, signal });
}

// --- what is typed is saved ------------------------------------------------------------------------
//
// JupyterLab takes no note of what is typed into a widget, and takes all for saved when a save ends,
// what came after it had begun, too: neither autosave nor the question on closing would see that. So
// the notebook has something to save from each change on, and still has it where a save ends that had
// begun before. A save that is asked for while one is on its way is passed over: the notebook is saved
// once more when that one is over. Where that fails, JupyterLab says so.

const SAVE_BUTTON = '[data-command="docmanager:save"]';

function keepSaves(manager, isOurs, isAround, signal) {
  const context = manager?.context;
  if (!context?.saveState) return; // no notebook of JupyterLab
  let isSaving = false;
  let isNew = false; // something has changed since a save began
  let again = false;
  const states = (_, state) => {
    const wanted = again && state === "completed";
    isSaving = state === "started"; // what is shown by now is saved
    again = false;
    if (isSaving) isNew = false;
    else if (isNew) manager.setDirty?.(); // does nothing where notebooks are saved without widgets
    if (wanted) setTimeout(() => context.isDisposed || context.save().catch(() => {}));
  };
  const typed = (event) => {
    if (!isOurs(event.target)) return;
    isNew = true;
    manager.setDirty?.();
  };
  const asked = (event) => {
    // What `keepKeys` tells the notebook is no second press; one more panel hears of this one, too.
    if (!isSaving || !event.isTrusted || event.isHeard || !isAround(event.target)) return;
    if (event.type === "keydown" ? !isSave(event) : !event.target.closest(SAVE_BUTTON)) return;
    again = event.isHeard = true;
  };
  const on = (name, heard) => window.addEventListener(name, heard, { capture: true, signal });
  context.saveState.connect(states);
  signal.addEventListener("abort", () => context.saveState.disconnect(states));
  for (const name of ["input", "change"]) on(name, typed);
  for (const name of ["keydown", "click"]) on(name, asked);
}

// --- a saved notebook is small -------------------------------------------------------------------
//
// A notebook may be saved with the state of its widgets. Most of it would be our code and style
// sheets, which a page without the kernel has no use for. Once an upload has ended (`told`), what is
// below the panel tells how, and words take the place of fields that nobody can use.

const NO_CODE = "export default {};";
const WORDS = `export default {render({el}) {
  el.className = "cnbu-words-alone";
  el.textContent = "An upload panel; run this cell to see it.";
  const style = el.appendChild(document.createElement("style"));
  style.textContent = ":has(> .cnbu-words-alone)::before, .cnbu-words-alone::before {display: none}";
}};`;
const light = new WeakSet();

function saveLightly(model, root, page) {
  if (!light.has(model)) {
    light.add(model);
    const whole = model.get_state;
    model.get_state = function (...how) {
      const told = page.get("told");
      if (model === root) return { ...whole.apply(this, how), ...(told && { children: [page] }) };
      const coded = model.get("_esm");
      const state = told && model !== page ? {} : { ...whole.apply(this, how) };
      if (coded) state._esm = told && model === page ? WORDS : NO_CODE;
      if (model !== page || told) delete state._css;
      return state;
    };
  }
  for (const child of model.get("children") ?? []) saveLightly(child, root, page);
}

// --- the focus -----------------------------------------------------------------------------------
//
// What has the focus may be hidden, disabled or removed by what it did. The focus would then fall to
// the page's body, where JupyterLab takes letters for commands, so it goes to what is next to that
// place at once: before the next frame is drawn, and before the next key is heard.
// Where the kernel asks for it (`cnbu-focus`), it is given only if the person who pressed something
// has not gone elsewhere meanwhile: an answer may be late, and the answer to one press may come after
// the next press. A click into text asks for nothing, and no answer takes the focus from one field to
// another. What a press has started is brought into sight (`cnbu-reveal`), and kept there while it
// takes its size.

const FOCUSABLE = "button:enabled, input:enabled, select:enabled, textarea:enabled, summary";
const REVEAL_MS = 2000;
const BEGIN_MS = 50;
const TEXT = "textarea, input:not([type=checkbox], [type=radio], [type=button], [type=file])";
const PLACES = ".cnbu-field, .cnbu-card, .cnbu-section, .cnbu-form";

function outermost(element) {
  let found = null;
  for (let at = element; at; at = at.parentElement) if (at.classList.contains("cnbu-form")) found = at;
  return found;
}

const isFree = () => !document.activeElement || document.activeElement === document.body;
const isLost = (element) => !element.isConnected || element.disabled || !element.checkVisibility();

class Focus {
  constructor(el, drawn) {
    this.el = el;
    this.drawn = drawn; // called when something else is shown
    this.trail = []; // what has the focus, and what is around it
    this.place = document.createRange(); // where that is; it stays when the element is removed
    this.pressed = null;
    this.given = null; // what got the focus in place of what was lost
    this.asked = null; // what the kernel asks the focus for, and is not shown yet
    this.observer = new MutationObserver((changes) => this.changed(changes));
  }

  get top() {
    return outermost(this.el);
  }

  watch(signal) {
    const on = (name, listener) =>
      document.addEventListener(name, listener, { capture: true, signal });
    on("focusin", (event) => this.came(event.target));
    on("focusout", () => queueMicrotask(() => this.left()));
    on("click", (event) => this.press(event.target.closest?.(TEXT) ? null : event.target));
    on("keydown", (event) => event.key === "Enter" && this.press(event.target));
    on("keydown", (event) => onKey(event, this.top));
    keepKeys(() => this.top, signal);
    const begin = () => {
      if (signal.aborted) return;
      if (!this.top) return void setTimeout(begin, BEGIN_MS); // it is not in the page yet
      this.observe(this.top);
      describe(this.top);
    };
    begin();
    signal.addEventListener("abort", () => this.observer.disconnect());
  }

  came(element) {
    const top = this.top;
    this.trail = [];
    if (!top?.contains(element)) return;
    for (let at = element; at !== top; at = at.parentElement) this.trail.push(at);
    this.trail.push(top);
    this.place.setStartBefore(element);
    this.place.collapse(true);
    this.observe(top);
  }

  // The person clicked where nothing takes the focus: it stays there, whatever happens here.
  left() {
    if (isFree() && this.trail.length && !isLost(this.trail[0])) this.trail = [];
  }

  press(element) {
    const within = element && this.top?.contains(element);
    this.given = element && this.given;
    this.pressed = within ? element.closest("button, input, select") : null;
    this.asked = null;
    if (within) this.observe(this.top);
  }

  observe(top) {
    const all = { subtree: true, childList: true, attributeFilter: ["class", "disabled", "hidden"] };
    this.observer.observe(top, { attributes: true, attributeOldValue: true, ...all });
  }

  changed(changes) {
    if (this.pressed) {
      this.asked = marked(changes, "cnbu-focus").at(-1) ?? this.asked;
      if (this.asked) this.grant(this.asked);
      for (const element of marked(changes, "cnbu-reveal")) reveal(element);
    }
    this.describing ??= requestAnimationFrame(() => {
      this.describing = null;
      if (this.top) describe(this.top);
      this.drawn();
    });
    this.recover();
    // What a style sheet hides is no change in the tree: the page notices in its next frame.
    requestAnimationFrame(() => requestAnimationFrame(() => this.recover()));
  }

  grant(box) {
    const at = document.activeElement;
    const field = at?.closest(".cnbu-field");
    const stayed =
      isFree() || ([this.pressed, this.given].includes(at) && (!field || field.contains(box)));
    const wanted = box.matches(FOCUSABLE) ? box : box.querySelector(FOCUSABLE);
    if (stayed && !wanted?.checkVisibility()) return; // it is still being drawn
    this.asked = null;
    if (stayed) wanted.focus({ preventScroll: true });
  }

  recover() {
    const [lost] = this.trail;
    if (!lost || !isLost(lost) || !(isFree() || document.activeElement === lost)) return;
    for (const around of this.trail.slice(1)) {
      if (!around.isConnected || !around.checkVisibility()) continue;
      const next = this.nextIn(around);
      if (!next && !around.matches(PLACES)) continue;
      if (!next) around.tabIndex = -1;
      this.given = next ?? around;
      this.given.focus({ preventScroll: true });
      return;
    }
  }

  // What can have the focus from its last place on, or else the last before that.
  nextIn(around) {
    const all = [...around.querySelectorAll(FOCUSABLE)].filter((one) => one.checkVisibility());
    return all.find((one) => this.place.comparePoint(one, 0) > 0) ?? all.at(-1);
  }
}

// What has this class now, and had it not before.
function marked(changes, name) {
  const added = (node) =>
    node.classList?.contains(name) ? node : node.querySelector?.(`.${name}`);
  return changes
    .flatMap(({ target, type, addedNodes, attributeName, oldValue }) => {
      if (type === "childList") return [...addedNodes].map(added);
      if (attributeName !== "class" || oldValue?.includes(name)) return [];
      return [target.classList.contains(name) && target];
    })
    .filter(Boolean);
}

function reveal(element) {
  const show = () => element.scrollIntoView({ block: "nearest" });
  const grown = new ResizeObserver(show);
  const end = () => grown.disconnect();
  grown.observe(element);
  grown.observe(outermost(element)); // what is above it may take more room, too
  for (const name of ["wheel", "keydown", "pointerdown"]) // the person goes elsewhere
    addEventListener(name, end, { once: true, capture: true });
  setTimeout(end, REVEAL_MS);
}

// --- what a screen reader is told, and keys in lists ----------------------------------------------

let ids = 0;
const COPIED = { "File id": "Copy the file id", "In code": "Copy the line of code" };

function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function describe(top) {
  for (const field of top.querySelectorAll(".cnbu-field")) {
    const note = field.querySelector(":scope > .cnbu-note");
    if (note && !note.id) note.id = `cnbu-note-${++ids}-${Date.now().toString(36)}`;
    for (const input of field.querySelectorAll("input:not([type=checkbox], [type=file]), textarea")) {
      const own = input.closest(".cnbu-sub");
      const bad = own ? own.classList.contains("cnbu-wrong") : field.classList.contains("cnbu-bad");
      set(input, "aria-invalid", String(bad));
      if (note) set(input, "aria-describedby", note.id);
    }
  }
  for (const fold of top.querySelectorAll(".cnbu-fold"))
    set(fold, "aria-expanded", String(fold.textContent.startsWith("▾")));
  for (const radios of top.querySelectorAll(".cnbu-kind")) {
    set(radios, "role", "radiogroup");
    set(radios, "aria-label", "Kind of file");
  }
  // Several buttons say Browse: each says of what, too.
  for (const button of top.querySelectorAll(".cnbu-row > button"))
    if (button.title) set(button, "aria-label", `${button.textContent}: ${button.title}`);
  for (const code of top.querySelectorAll(".cnbu-code pre")) addCopy(code, "Copy the code");
  for (const name of top.querySelectorAll(".cnbu-ending dt"))
    if (name.textContent in COPIED) addCopy(name.nextElementSibling, COPIED[name.textContent]);
}

function addCopy(element, label) {
  if (!element || element.querySelector(".cnbu-copy")) return;
  const text = element.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "jupyter-button cnbu-copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", label);
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(element); // a page that is not secure has no clipboard
      button.textContent = "Press Ctrl+C";
    }
  };
  element.append(button);
}

// Escape closes a list; the arrow keys move in it, from the box that is searched in and back.
function onKey(event, top) {
  const place = event.target.closest?.(".cnbu-field, .cnbu-files");
  const list = place && top?.contains(place) ? place.querySelector(".cnbu-hits") : null;
  const lines = list ? [...list.querySelectorAll("button")] : [];
  if (!lines.length) return;
  const box = place.querySelector(".cnbu-row input");
  const at = lines.indexOf(event.target);
  if (at < 0 && event.target !== box) return;
  if (event.key === "Escape") {
    const close = place.querySelector(".cnbu-row button");
    if (close?.checkVisibility()) close.click();
    else {
      box.value = "";
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }
    box.focus();
  } else if (event.key === "ArrowDown") (lines[at + 1] ?? lines.at(-1)).focus();
  else if (event.key === "ArrowUp" && at >= 0) (lines[at - 1] ?? box).focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// --- the widget ----------------------------------------------------------------------------------

function initialize({ model }) {
  model.set("seen", true);
  model.save_changes();
  model.on("msg:custom", ({ place, data }) => {
    putInOutputs(model, (has) => has["text/html"]?.includes?.(`class="${place}"`), data);
  });
  // The end may have come while this page was not there.
  model.widget_manager?.context?.ready?.then(() => model.send({ want: "ending" }));
}

function render({ model, el }) {
  const ending = new AbortController();
  const style = document.createElement("style");
  style.textContent = model.get("more_css");
  el.classList.add("cnbu-none");
  el.append(style);
  let drawn = () => {};
  const around = (element) => (el.closest(".jp-NotebookPanel") ?? outermost(el))?.contains(element);
  const within = (element) => outermost(el)?.contains(element);
  keepSaves(model.widget_manager, within, around, ending.signal); // before keys are kept
  new Focus(el, () => drawn()).watch(ending.signal);
  keepPresses((button) => outermost(button) && outermost(button) === outermost(el), ending.signal);
  const closed = () => model.get("left") && leaveText(outputOf(el), model.get("left"));
  model.on("destroy", closed);
  rootOf(model).then((root) => {
    if (!root || ending.signal.aborted) return;
    sendAhead(root, ending.signal);
    const page = root.get("children").find((one) => one.get("root") === model.get("root"));
    drawn = () => saveLightly(root, root, page);
    drawn();
  });
  return () => {
    ending.abort();
    model.off("destroy", closed);
  };
}
export default { initialize, render };
