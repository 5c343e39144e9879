"""How the panel looks, beyond what `style` says for all widgets of ours."""

from __future__ import annotations

from typing import Final

import ipywidgets

from cognite_nb_upload.widgets.style import CSS

_LINE: Final = "var(--jp-border-color1,#bdbdbd)"
_SOFT: Final = "var(--jp-border-color2,#e0e0e0)"
_FAINT: Final = "var(--jp-ui-font-color2,#616161)"
_TEXT: Final = "var(--jp-ui-font-color1,#212121)"
_BRAND: Final = "var(--jp-brand-color1,#1976d2)"
_PAPER: Final = "var(--jp-layout-color1,#fff)"
_SHADE: Final = "var(--jp-layout-color2,#eee)"

PANEL_CSS: Final = f"""
.cnbu-panel .cnbu-form{{padding:0;max-width:none}}
.cnbu-section:not(:empty){{padding-top:10px}}
.cnbu-head{{color:{_FAINT};padding-bottom:6px;overflow-wrap:anywhere}}
.cnbu-head b{{color:{_TEXT};font-weight:600}}
.cnbu-panel .cnbu-signin{{border-bottom:1px solid {_SOFT};padding-bottom:10px;margin-bottom:10px}}
.cnbu-plan{{font-size:12px;color:{_FAINT};padding-top:3px;font-variant-numeric:tabular-nums}}
.cnbu-plan b{{color:{_TEXT};font-weight:600}}
.cnbu-form .cnbu-go.jupyter-button{{background:{_BRAND};border-color:{_BRAND};color:#fff;
 padding:0 18px;font-weight:600}}
.cnbu-form .cnbu-go.jupyter-button:hover:enabled{{background:{_BRAND};filter:brightness(1.1)}}
.cnbu-form .cnbu-go.jupyter-button:disabled{{background:{_SHADE};border-color:{_LINE};
 color:{_FAINT};opacity:1;cursor:not-allowed}}
.cnbu-form .jupyter-button:disabled{{opacity:.5}}
.cnbu-form .cnbu-link.jupyter-button{{border-color:transparent;background:transparent;
 color:{_BRAND};padding:0 6px}}
.cnbu-actions{{border-top:1px solid {_SOFT};margin-top:10px!important;padding-top:10px!important}}
.cnbu-reason{{flex:1 1 16em;min-width:0;color:{_FAINT};overflow-wrap:anywhere}}
.cnbu-card,.cnbu-view{{min-width:0}}
.cnbu-card{{border:1px solid {_SOFT};border-radius:4px;background:{_PAPER};
 padding:8px 12px!important;margin-top:8px!important}}
.cnbu-form .cnbu-limiter.widget-box{{margin-left:auto}}
.cnbu-form .cnbu-limiter .widget-text{{flex-direction:row;align-items:center;gap:8px;width:auto}}
.cnbu-form .cnbu-limiter .widget-text .widget-label{{font-weight:400;margin:0;color:{_FAINT}}}
.cnbu-form .cnbu-limiter input[type=text]{{width:6em;flex:none}}
.cnbu-view .cnbu-bar,.cnbu-view .cnbu-strip{{max-width:none}}
.cnbu-view .cnbu .widget-hprogress{{height:20px}}
.cnbu-view .cnbu .widget-hprogress .widget-label{{flex:none;width:8.5em!important;margin:0 8px 0 0;
 font-weight:400;font-variant-numeric:tabular-nums}}
.cnbu-view .cnbu .widget-html-content{{font-variant-numeric:tabular-nums}}
.cnbu-view .cnbu .widget-hbox .widget-html-content{{line-height:22px}}
.cnbu-form .widget-dropdown{{flex-direction:column;align-items:stretch;width:100%;
 height:auto;margin:0}}
.cnbu-form select{{box-sizing:border-box;width:100%;flex:none;height:30px;border:1px solid {_LINE};
 border-radius:3px;background:{_PAPER}!important;color:{_TEXT};font:inherit;padding:0 4px;
 appearance:auto}}
.cnbu-form select:focus{{outline:2px solid {_BRAND};outline-offset:-1px;border-color:{_BRAND}}}
.cnbu-code pre{{overflow:auto;margin:6px 0 0;padding:8px 10px;border:1px solid {_SOFT};
 border-radius:3px;font-family:var(--jp-code-font-family,monospace);font-size:12px;
 line-height:1.5;white-space:pre;
 user-select:all;color:{_TEXT};background:var(--jp-cell-editor-background,{_SHADE})}}
.cnbu-rows{{border-top:1px solid {_SOFT}}}
.cnbu-item{{display:flex!important;flex-flow:row wrap;gap:6px;align-items:center;
 border-bottom:1px solid {_SOFT};padding:5px 0!important}}
.cnbu-item>:first-child{{flex:1 1 20em;min-width:0;overflow-wrap:anywhere}}
.cnbu-item small,.cnbu-history small{{color:{_FAINT};font-size:12px;display:block}}
.cnbu-history table{{border-collapse:collapse;width:100%;margin:4px 0;font-size:12px;
 font-variant-numeric:tabular-nums}}
.cnbu-history th,.cnbu-history td{{text-align:left!important;padding:3px 10px 3px 0;
 vertical-align:top; border-bottom:1px solid {_SOFT};overflow-wrap:anywhere}}
.cnbu-history th{{color:{_FAINT};font-weight:400}}
.cnbu-secret{{display:flex;flex-flow:row nowrap;gap:6px;align-items:flex-end;width:100%;margin:0}}
.cnbu-secret label{{flex:1 1 0;min-width:0;font-weight:600;line-height:1.5}}
.cnbu-secret input{{display:block;box-sizing:border-box;width:100%;height:30px;margin-top:2px;
 border:1px solid {_LINE};border-radius:3px;background:{_PAPER};color:{_TEXT};font:inherit;
 font-weight:400;padding:0 8px}}
.cnbu-secret button{{flex:none;height:30px;padding:0 18px;border:1px solid {_BRAND};
 border-radius:3px;background:{_BRAND};color:#fff;font:inherit;font-weight:600;cursor:pointer}}
.cnbu-secret button:disabled{{opacity:.5;cursor:default}}
.cnbu-secret input:focus,.cnbu-secret button:focus-visible{{outline:2px solid {_BRAND};
 outline-offset:1px}}
"""


def panel_style(more: str = "") -> ipywidgets.HTML:
    """The style sheet of form and panel, as a widget."""
    sheet = ipywidgets.HTML(f"<style>{CSS}{PANEL_CSS}{more}</style>")
    sheet.add_class("cnbu-none")
    return sheet
