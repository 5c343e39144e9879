"""How our widgets look: one style sheet, and small helpers that build what it styles.

Rules of this file: colours and fonts are the notebook's own (`--jp-*`), so that light and dark both
work; text from elsewhere goes through `escaped` or `plain`; columns come and go with the width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ipywidgets

from cognite_nb_upload.models.show import escaped, plain

_LINE: Final = "var(--jp-border-color1,#bdbdbd)"
_SOFT: Final = "var(--jp-border-color2,#e0e0e0)"
_FAINT: Final = "var(--jp-ui-font-color2,#616161)"
_TEXT: Final = "var(--jp-ui-font-color1,#212121)"
_BRAND: Final = "var(--jp-brand-color1,#1976d2)"
_ERROR: Final = "var(--jp-error-color1,#d32f2f)"
_WARN: Final = "var(--jp-warn-color1,#f57c00)"
_PAPER: Final = "var(--jp-layout-color1,#fff)"
_SHADE: Final = "var(--jp-layout-color2,#eee)"

CSS: Final = f"""
.cnbu-form{{color:{_TEXT};font-family:var(--jp-ui-font-family,sans-serif);
 font-size:var(--jp-ui-font-size1,13px);max-width:72em;padding:2px;overflow:visible}}
body[data-jp-theme-light="false"] .cnbu-form{{color-scheme:dark}}
.cnbu-form .widget-box{{overflow:visible;margin:0}}
.cnbu-form .widget-html{{margin:0;min-width:0;max-width:100%}}
.cnbu-form .widget-html-content{{min-width:0;line-height:1.4;font-size:inherit}}
.cnbu-form .cnbu-none{{display:none!important}}
.cnbu-grid{{display:grid!important;gap:10px 20px;align-items:start;
 grid-template-columns:repeat(auto-fit,minmax(min(100%,21em),1fr))}}
.cnbu-wide{{grid-column:1/-1}}
.cnbu-tight{{gap:4px!important}}
.cnbu-field{{position:relative;min-width:0}}
.cnbu-form .widget-text,.cnbu-form .widget-textarea,.cnbu-form .widget-datetimepicker{{
 flex-direction:column;align-items:stretch;width:100%;height:auto;margin:0}}
.cnbu-form .widget-inline-hbox .widget-label{{width:auto;height:auto;text-align:left;margin:0 0 2px;
 line-height:1.5;font-weight:600;color:{_TEXT}}}
.cnbu-form input[type=text],.cnbu-form input[type=datetime-local],.cnbu-form textarea{{
 box-sizing:border-box;width:100%;min-width:0;flex:none;border:1px solid {_LINE};border-radius:3px;
 background:{_PAPER};color:{_TEXT};font:inherit;padding:0 8px}}
.cnbu-form input[type=text],.cnbu-form input[type=datetime-local]{{height:30px}}
.cnbu-form textarea{{padding:5px 8px;resize:vertical;min-height:4.5em;
 font-family:var(--jp-code-font-family,monospace);font-size:12px}}
.cnbu-form input::placeholder,.cnbu-form textarea::placeholder{{opacity:1;
 color:var(--jp-ui-font-color3,#9e9e9e)}}
.cnbu-form input:focus,.cnbu-form textarea:focus{{outline:2px solid {_BRAND};outline-offset:-1px;
 border-color:{_BRAND}}}
.cnbu-bad input,.cnbu-bad>.widget-textarea textarea{{border-color:{_ERROR}!important}}
.cnbu-form .cnbu-note,.cnbu-form .cnbu-note .widget-html-content{{position:static;height:auto}}
.cnbu-note{{font-size:12px;color:{_FAINT};overflow-wrap:anywhere}}
.cnbu-note>div{{padding-top:3px}}
.cnbu-limit{{position:absolute;top:1px;right:0;max-width:calc(100% - 9em);padding:0!important;
 overflow:hidden;white-space:nowrap;text-overflow:ellipsis;font-size:11px;line-height:18px}}
.cnbu-error{{color:{_ERROR}}}
.cnbu-error::before{{content:"\\2716\\00a0"}}
.cnbu-warn::before{{content:"\\26A0\\00a0";color:{_WARN}}}
.cnbu-busy::before{{content:"";display:inline-block;width:9px;height:9px;margin-right:6px;
 border:2px solid {_SOFT};border-top-color:{_BRAND};border-radius:50%;
 animation:cnbu-turn .8s linear infinite}}
@keyframes cnbu-turn{{to{{transform:rotate(1turn)}}}}
@media (prefers-reduced-motion:reduce){{.cnbu-busy::before{{animation:none}}}}
.cnbu-form .jupyter-button{{width:auto;flex:none;margin:0;
 height:30px;line-height:28px;padding:0 10px;
 border:1px solid {_LINE};border-radius:3px;background:{_PAPER};color:{_TEXT};font:inherit;
 box-shadow:none!important}}
.cnbu-form .jupyter-button:hover:enabled{{background:{_SHADE}}}
.cnbu-form .jupyter-button:focus-visible{{outline:2px solid {_BRAND}!important;outline-offset:1px}}
.cnbu-row{{display:flex!important;flex-flow:row nowrap;gap:6px;align-items:flex-end}}
.cnbu-row>.widget-text{{flex:1 1 0;min-width:0}}
.cnbu-tools{{display:flex!important;flex-flow:row wrap;gap:6px;align-items:center;padding-top:6px}}
.cnbu-chips{{display:flex!important;flex-flow:row wrap;gap:4px}}
.cnbu-chips:not(:empty){{padding-top:5px}}
.cnbu-form .cnbu-chip.jupyter-button{{height:24px;line-height:22px;
 border-radius:12px;padding:0 10px;
 max-width:100%;border-color:{_BRAND};background:transparent;font-size:12px}}
.cnbu-hits:not(:empty){{border:1px solid {_LINE};border-radius:3px;margin-top:4px!important;
 overflow:hidden!important}}
.cnbu-form .cnbu-hit.jupyter-button{{width:100%;text-align:left;border:0;border-radius:0;
 border-bottom:1px solid {_SOFT};background:{_PAPER}}}
.cnbu-form .cnbu-hit.jupyter-button:last-child{{border-bottom:0}}
.cnbu-form .cnbu-hit.jupyter-button:focus-visible{{outline-offset:-2px}}
.cnbu-form .cnbu-page.jupyter-button{{color:{_BRAND}}}
.cnbu-form .cnbu-fold.jupyter-button{{width:100%;height:34px;line-height:32px;text-align:left;
 font-weight:600;border:0;border-top:1px solid {_SOFT};border-radius:0;background:transparent;
 padding:0 2px;margin-top:8px}}
.cnbu-form .cnbu-fold.jupyter-button.cnbu-hasbad{{color:{_ERROR}}}
.cnbu-inside{{padding:4px 0 6px}}
.cnbu-sub .widget-label{{font-weight:400!important}}
.cnbu-pairs{{display:grid!important;gap:4px}}
.cnbu-pair{{display:grid!important;gap:6px;align-items:center;
 grid-template-columns:minmax(0,2fr) minmax(0,3fr) auto}}
.cnbu-form .cnbu-quiet .widget-label{{position:absolute;width:1px;height:1px;overflow:hidden;
 clip-path:inset(50%);white-space:nowrap}}
.cnbu-form .widget-checkbox{{width:auto;height:auto;margin:0;padding-top:5px;line-height:1.4}}
.cnbu-form .widget-checkbox .widget-label-basic{{width:auto;display:flex;align-items:center;
 white-space:normal;text-align:left}}
.cnbu-form .widget-checkbox .widget-label{{display:none}}
.cnbu-form .widget-checkbox input{{flex:none!important;margin:0 8px 0 0!important}}
.cnbu-form .cnbu-x.jupyter-button{{font-size:0;width:30px;padding:0;border-color:transparent}}
.cnbu-x::before{{content:"\\2715";font-size:13px}}
.cnbu-heading{{font-weight:600;line-height:1.5}}
.cnbu-banner{{border-left:3px solid {_WARN};padding:4px 10px;margin-bottom:8px;background:{_SHADE}}}
.cnbu-outline{{display:block;box-sizing:border-box;width:100%;max-width:26em;height:auto;
 border:1px solid {_LINE};border-radius:3px;background:{_PAPER};margin-top:22px}}
.cnbu-outline .grid{{stroke:{_SOFT};fill:none}}
.cnbu-outline text{{fill:{_FAINT};font-size:10px}}
.cnbu-outline .shape{{stroke:{_BRAND};stroke-width:2;fill:{_BRAND};fill-opacity:.18;
 stroke-linejoin:round}}
.cnbu-outline .line{{fill:none}}
.cnbu-outline .dot{{stroke:{_PAPER};stroke-width:1.5;fill:{_BRAND};fill-opacity:1}}
.cnbu-map{{padding-top:6px}}
.cnbu-map .leaflet-pm-toolbar .leaflet-buttons-control-button{{background-color:#fff}}
"""


def style_sheet() -> ipywidgets.HTML:
    """The style sheet as a widget: the first child of whatever it styles."""
    sheet = ipywidgets.HTML(f"<style>{CSS}</style>")
    sheet.add_class("cnbu-none")
    return sheet


def box(kind: type[Any], children: list[Any], *classes: str) -> Any:
    """A box of `children` with CSS classes."""
    return kind(children, _dom_classes=classes)  # add_class would be a message for each


def button(
    text: object, tooltip: str, do: Callable[[], None], *classes: str, **shared: Any
) -> ipywidgets.Button:
    """A button whose text and tooltip are safe to look at; `do()` is called on a click."""
    made = ipywidgets.Button(
        description=plain(text), tooltip=plain(tooltip), _dom_classes=classes, **shared
    )
    made.on_click(lambda _: do())
    return made


def say(text: object, kind: str, role: str = "status") -> str:
    """One line of a note: `kind` is error, warn, busy or info."""
    return f'<div class="cnbu-{kind}" role="{role}">{escaped(text)}</div>' if text else ""


def hide(widget: ipywidgets.DOMWidget, hidden: bool) -> None:
    """Hide a widget, or show it again."""
    (widget.add_class if hidden else widget.remove_class)("cnbu-none")


def close_all(widget: ipywidgets.Widget) -> None:
    """Close a widget, what is in it, and their layouts and styles."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for name in ("style", "layout"):
        model = getattr(widget, name, None)
        if isinstance(model, ipywidgets.Widget):
            model.close()
    ipywidgets.Widget.close(widget)
