"""Keywords that a call takes: by a table (`**fields: Unpack[Table]`), shown one by one, or its own.

Type checkers read the table. Editors and Jupyter (Tab, Shift+Tab) see a signature with each keyword
and its default, made of the same table, and a misspelt one is answered with the nearest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

from cognite_nb_upload.core.nearest import nearest
from cognite_nb_upload.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


def keywords_of(
    table: type, defaults: Mapping[str, object], first: Sequence[str] = ()
) -> Callable[[F], F]:
    """For a function that takes the keys of `table`, a TypedDict, as its last `**` argument.

    Args:
        table: the keywords, with their types.
        defaults: what it means to leave a keyword out, where that is not None.
        first: those that are shown first, in this order.
    """
    names = [name for name in first if name in table.__annotations__]
    names += [name for name in table.__annotations__ if name not in names]
    shown = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=_written(table.__annotations__[name], defaults.get(name)),
        )
        for name in names
    ]

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        before = [one for one in own if one.kind is not one.KEYWORD_ONLY]
        after = [one for one in own if one.kind is one.KEYWORD_ONLY]
        whole = signature.replace(parameters=[*before, *shown, *after])
        known = {one.name for one in (*own, *shown)} - {"self"}

        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            if not given.keys() <= known:
                raise UsageError(_unknown(function.__name__, given.keys() - known, known))
            return function(*args, **given)

        vars(call).update(__signature__=whole, __wrapped__=_shape(function, whole))
        return cast("F", call)

    return decorate


def own_keywords(function: F) -> F:
    """For a function that lists its keywords itself: an unknown one is told with the nearest."""
    known = set(inspect.signature(function).parameters) - {"self"}

    def check(given: Collection[str]) -> None:
        if unknown := set(given) - known:
            raise UsageError(_unknown(function.__name__, unknown, known))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def later(*args: Any, **given: Any) -> Any:
            check(given)
            return await function(*args, **given)

        return cast("F", later)

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        check(given)
        return function(*args, **given)

    return cast("F", call)


def _written(annotation: object, default: object) -> str:
    """The type as it stands in the table."""
    text = getattr(annotation, "__forward_arg__", None) or str(annotation)
    return f"{text} | None" if default is None and "None" not in text else text


def _shape(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    """A function that has the signature and no source.

    Jedi, which completes in Jupyter, reads the source of what is wrapped, where it finds
    `**fields`; only of what has none it reads the signature.
    """
    made: dict[str, Any] = {}
    exec("def shape(): ...", made)  # noqa: S102 # a constant: a function without a file
    shape = functools.update_wrapper(made["shape"], function)
    del shape.__wrapped__
    vars(shape)["__signature__"] = signature
    return cast("Callable[..., Any]", shape)


def _unknown(call: str, wrong: Collection[str], known: Collection[str]) -> str:
    said = []
    for name in sorted(wrong):
        near = nearest(name, known)
        todo = f"did you mean {near!r}?" if near else f"it takes {', '.join(sorted(known))}."
        said.append(f"{call} takes no {name!r}; {todo}")
    return " ".join(said)
