// --- what is left of a widget that was closed -----------------------------------------------------
//
// Every page that shows a widget loses it when it is closed: with the run of a cell in one tab, the
// output of that cell in another tab would be empty. So text or HTML takes its place there. Where the
// cell itself was run, its output was cleared before.

const LEFT = "cnbu-left";
const outputOf = (el) => el.closest(".jp-OutputArea-child");

function leave(place, fill) {
  if (!place?.isConnected) return;
  let left = place.querySelector(`:scope > .${LEFT}`);
  if (!left) {
    left = document.createElement("div");
    left.className = `${LEFT} jp-OutputArea-output`;
    left.setAttribute("role", "status");
    place.append(left);
  }
  fill(left);
}

function leaveText(place, text) {
  leave(place, (left) => {
    left.textContent = text;
    left.style.cssText =
      "flex: 1; align-self: start; padding: 6px 10px; line-height: 1.5;" +
      "border-left: 3px solid var(--jp-warn-color1, #f57c00);" +
      "background: var(--jp-layout-color2, #eee); color: var(--jp-ui-font-color1, inherit);" +
      "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 13px)";
  });
}
