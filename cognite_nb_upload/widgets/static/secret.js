// One secret, typed and sent to the kernel as a message. It is never a trait, so it is in no saved
// widget state, and the box is emptied before anything else happens with it.
function render({ model, el }) {
  const form = document.createElement("form");
  const label = document.createElement("label");
  const words = document.createElement("span");
  const input = document.createElement("input");
  const button = document.createElement("button");
  form.className = "cnbu-secret";
  form.dataset.lmSuppressShortcuts = "true"; // JupyterLab: what is typed here is no command
  input.type = "password";
  input.autocomplete = "off";
  input.spellcheck = false;
  button.type = "submit";
  label.append(words, input);
  form.append(label, button);
  el.append(form);

  const show = () => {
    words.textContent = model.get("label");
    button.textContent = model.get("button");
    input.disabled = model.get("busy");
    button.disabled = !model.get("ready");
  };
  const send = (event) => {
    event.preventDefault();
    if (!model.get("ready") || !input.value) return;
    const secret = input.value;
    input.value = "";
    model.send({ kind: "secret", secret });
  };
  form.addEventListener("submit", send);
  // A notebook page may keep Enter from submitting a form.
  input.addEventListener("keydown", (event) => event.key === "Enter" && send(event));
  model.on("change", show);
  show();
  return () => {
    model.off("change", show);
    input.value = "";
  };
}
export default { render };
