"""Small helpers that build what the style sheet styles (`static/widgets.css`).

Rules of this file: text from elsewhere goes through `escaped` or `plain`; a widget costs the page
a model only once it is shown, and shares its layout and style with others of its kind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import ipywidgets

from cognite_nb_upload.models.show import escaped, plain

_opening = threading.RLock()
_classes = threading.RLock()
# By these a page knows which kind of model to make.
_KIND: Final = ("_model_name", "_model_module", "_model_module_version")
_kinds: dict[type[Any], type[Any]] = {}
_shared: dict[type[Any], ipywidgets.Widget] = {}


class _OnDemand:
    """Opens a widget's model when something that the page has refers to it, and not before.

    A field in a section that nobody unfolds holds its value and sends no message.
    """

    comm: Any
    closed = False
    _opening = False

    def open(self) -> None:
        """Called by the constructor; `model_id` opens it."""

    @property
    def model_id(self) -> str:
        """The model's id, which opens the model."""
        with _opening:
            if self.comm is None and not self.closed:
                self._open_now()
        return str(self.comm.comm_id) if self.comm is not None else ""

    def add_class(self, name: str) -> Any:
        """Add a CSS class; another thread may add or remove another one meanwhile."""
        with _classes:
            return super().add_class(name)  # type: ignore[misc] # of ipywidgets

    def remove_class(self, name: str) -> Any:
        """Remove a CSS class, as `add_class`."""
        with _classes:
            return super().remove_class(name)  # type: ignore[misc] # of ipywidgets

    def close(self) -> None:
        """Close it for good."""
        self.closed = True
        super().close()  # type: ignore[misc] # of ipywidgets

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """Its fields; in the message that opens it, without those that a page has by itself."""
        state = super().get_state(key, drop_defaults or self._opening)  # type: ignore[misc]
        if self._opening:
            state |= super().get_state(_KIND)  # type: ignore[misc]
        return state

    def _open_now(self) -> None:
        widget: Any = self
        told = widget.get_state()
        self._opening = True
        try:
            super().open()  # type: ignore[misc] # of ipywidgets
        finally:
            self._opening = False
        keep_order(widget)
        # Another thread may have set something while the model was opened.
        since = {name for name, value in widget.get_state().items() if value != told[name]}
        if since:
            widget.send_state(since)

    def get_view_spec(self) -> Any:
        """What a page needs to show it."""
        return self.model_id and super().get_view_spec()  # type: ignore[misc]

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.model_id and super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]


def _on_demand(kind: type[Any]) -> Any:
    if kind not in _kinds:
        _kinds[kind] = type(kind.__name__, (_OnDemand, kind), {"__module__": kind.__module__})
    return _kinds[kind]


def make(kind: type[Any], *args: Any, **fields: Any) -> Any:
    """A widget of that kind, opened when it is shown; its layout and style are those of others."""
    traits = kind.class_traits()
    for name in ("layout", "style"):
        if name in traits and name not in fields:
            fields[name] = _common(traits[name].klass)
    return _on_demand(kind)(*args, **fields)


def _common(kind: type[Any]) -> ipywidgets.Widget:
    """The one model of that kind; a new one where somebody has closed all widgets."""
    with _opening:
        known = _shared.get(kind)
        if known is None or getattr(known, "closed", known.comm is None):
            known = _shared[kind] = _on_demand(kind)()
        return known


def box(kind: type[Any], children: list[Any], *classes: str) -> Any:
    """A box of `children` with CSS classes; what a page says to them stays in order."""
    for child in children:
        keep_order(child)
    return make(kind, children, _dom_classes=classes)  # add_class would be a message for each


def button(text: object, tooltip: str, do: Callable[[], None], *classes: str) -> ipywidgets.Button:
    """A button whose text and tooltip are safe to look at; `do()` is called on a click."""
    made = make(
        ipywidgets.Button,
        description=plain(text),
        tooltip=plain(tooltip),
        _dom_classes=classes,
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
        if isinstance(model, ipywidgets.Widget) and model not in _shared.values():
            model.close()
    if isinstance(widget, _OnDemand):
        widget.closed = True
    ipywidgets.Widget.close(widget)
