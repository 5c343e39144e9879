// --- keys that JupyterLab would take --------------------------------------------------------------
//
// With the focus on a button of ours, the notebook takes keys for its commands: Ctrl+Enter would run
// the cell again, "d" pressed twice would delete it, and what was typed would be lost; an arrow key
// would leave a radio button for the next cell. Ctrl+Z in a box would take back a change of a cell.
// For each key it looks at this attribute, from the focused element upwards, until a rule for keys
// fits. Keys with Ctrl, Alt or Cmd stay its own, but for those that run, merge, move, select or
// change cells: Ctrl+S saves the notebook.

const NO_COMMANDS = "data-lm-suppress-shortcuts";
const OF_CELLS = /^(Enter|Backspace|Delete|Arrow.*|[zyam])$/i;
const TYPED_IN = "input, textarea, select";

// A text box of ipywidgets lets no key out, and JupyterLab hears those alone that come up to the
// document: Ctrl+S is told to what is around the widget.

function tellNotebook(event, top) {
  const told = new KeyboardEvent("keydown", {
    ...{ key: event.key, code: event.code, keyCode: event.keyCode, bubbles: true, cancelable: true },
    ...{ ctrlKey: event.ctrlKey, metaKey: event.metaKey, shiftKey: event.shiftKey },
  });
  if (top.parentElement?.dispatchEvent(told) !== false) return;
  event.preventDefault(); // the notebook has taken it: the page itself is not to be saved
  event.stopImmediatePropagation();
}

const isSave = (event) =>
  /^s$/i.test(event.key) && (event.ctrlKey || event.metaKey) && !event.altKey;

function keepFromNotebook(event, top) {
  if (!top?.contains(event.target)) return;
  if (isSave(event) && event.target.matches(TYPED_IN)) return tellNotebook(event, top);
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  event.target.toggleAttribute(NO_COMMANDS, !modified || OF_CELLS.test(event.key));
  if (modified && /^[zy]$/i.test(event.key) && !event.target.matches(":read-write"))
    event.preventDefault();
}

// Until the signal comes, what is within `topOf()` keeps its keys. The notebook listens on the
// document: only the window hears a key earlier.
function keepKeys(topOf, signal) {
  const early = (event) => keepFromNotebook(event, topOf());
  window.addEventListener("keydown", early, { capture: true, signal });
}

