// What a person has to do to sign in: a link, a code with a button that copies it, the time left.
function render({ model, el }) {
  const make = (name, className, parent) => {
    const made = document.createElement(name);
    made.className = className;
    parent.append(made);
    return made;
  };
  const box = make("div", "cnbu-code-box", el);
  const words = make("div", "cnbu-code-words", box);
  const link = make("a", "cnbu-code-link", words);
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  const row = make("div", "cnbu-code-row", box);
  const code = make("code", "cnbu-code-text", row);
  const copy = make("button", "cnbu-code-copy", row);
  copy.type = "button";
  const left = make("div", "cnbu-code-left", box);
  left.setAttribute("role", "timer");
  const cancel = make("button", "cnbu-code-cancel", box);
  cancel.type = "button";
  cancel.textContent = "Cancel";

  const tick = () => {
    const s = Math.max(0, Math.round((model.get("ends_ms") - Date.now()) / 1000));
    const time = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
    left.textContent = s
      ? `Waiting for you, ${time} left. This goes on by itself.`
      : "The time is over.";
  };
  const show = () => {
    const url = model.get("page");
    el.hidden = !url;
    // Only these: a link of another scheme would run in this page.
    link.href = /^https?:/.test(url) ? url : "about:blank";
    link.textContent = model.get("code")
      ? `Open ${model.get("url")}`
      : "Open the sign-in page";
    row.hidden = !model.get("code");
    code.textContent = model.get("code");
    copy.textContent = "Copy the code";
    tick();
  };
  const selected = () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  };
  copy.addEventListener("click", async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(model.get("code"));
      done = true;
    } catch {
      done = selected(); // a page without TLS, or without the right
    }
    copy.textContent = done ? "Copied" : "Press Ctrl+C";
  });
  cancel.addEventListener("click", () => model.send({ kind: "cancel" }));
  model.on("change", show);
  const timer = setInterval(tick, 1000);
  show();
  return () => {
    clearInterval(timer);
    model.off("change", show);
  };
}
export default { render };
