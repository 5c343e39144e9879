"""Small helpers that build what the style sheet styles (`static/widgets.css`).

Rule of this file: text from elsewhere goes through `escaped` or `plain`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from cognite_nb_upload.models.show import escaped, plain


def box(kind: type[Any], children: list[Any], *classes: str) -> Any:
    """A box of `children` with CSS classes; what a page says to them stays in order."""
    for child in children:
        keep_order(child)
    return kind(children, _dom_classes=classes)  # add_class would be a message for each


def button(
    text: object, tooltip: str, do: Callable[[], None], *classes: str, **shared: Any
) -> ipywidgets.Button:
    """A button whose text and tooltip are safe to look at; `do()` is called on a click."""
    made = ipywidgets.Button(
        description=plain(text), tooltip=plain(tooltip), _dom_classes=classes, **shared
    )
    made.on_click(lambda _: do())
    keep_order(made)
    return made


def on_enter(typed: ipywidgets.Text, do: Callable[[], None]) -> None:
    """Call `do()` when Enter is pressed in a box; its text is then what the person sees."""

    def heard(_: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit":
            do()

    typed.on_msg(heard)


def reveal(widget: ipywidgets.DOMWidget) -> None:
    """Bring a widget into sight, for a person who has pressed something in this panel."""
    widget.remove_class("cnbu-reveal")
    widget.add_class("cnbu-reveal")


def focus(box: ipywidgets.DOMWidget) -> None:
    """Give the keyboard to a box, unless the person has gone elsewhere since the press.

    Why not `box.focus()`: a late answer would take the keyboard from the box one types in by then.
    """
    box.remove_class("cnbu-focus")
    box.add_class("cnbu-focus")


def keep_order(widget: ipywidgets.Widget) -> None:
    """Have the messages of all our widgets handled in one thread, and so in the order of the page.

    ipykernel 7.4 gives a comm's messages to the shell that published on this comm last. A panel's
    comms are then handled in two threads, and a click in one overtakes text in the other.
    """
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _as_the_page_says


def _as_the_page_says(_: object, default: str | None) -> str | None:
    """The shell that the page has sent a message to: the same for all widgets of a notebook."""
    return default


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
