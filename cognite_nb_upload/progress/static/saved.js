// --- what a saved notebook says -------------------------------------------------------------------
//
// The kernel puts in a display's place how its upload ended; a page that was loaded since does not
// know which display that is, and would save the notebook without it. So this page looks for the
// output, and puts the end there itself. Where the page is no notebook, nothing is done.

const WIDGET_VIEW = "application/vnd.jupyter.widget-view+json";

// The words below a widget that is gone (`LiveOutput`) are for where there is no end to be told.
const isWords = (output) => output?.data["text/html"]?.includes?.("<div class=cnbu-outlived>");

// Put `data`, by MIME types, in place of the outputs that `isIt(their data)`.
function putInOutputs(model, isIt, data) {
  try {
    for (const cell of model.widget_manager?.context?.model?.cells ?? []) {
      for (let at = 0; at < (cell.outputs?.length ?? 0); at += 1) {
        const has = cell.outputs.get(at).data;
        if (!isIt(has) || has["text/html"] === data["text/html"]) continue;
        const put = (place, data) =>
          cell.outputs.set(place, { output_type: "display_data", data, metadata: {} });
        put(at, data);
        const below = at + 1 < cell.outputs.length && cell.outputs.get(at + 1);
        if (has[WIDGET_VIEW] && below && isWords(below))
          put(at + 1, { "text/plain": "", "text/html": "" });
      }
    }
  } catch (error) {
    console.warn("How an upload ended could not be put into this notebook.", error);
  }
}
