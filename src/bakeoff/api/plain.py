"""What callers give as NumPy numbers, generators, sets or arrays, as Python's own numbers, texts and lists."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

__all__ = ["make_plain", "plain_arguments"]

# Arguments that are handed over as they are.
_UNTOUCHED = ("data", "progress")

P = ParamSpec("P")
R = TypeVar("R")


def plain_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function's arguments plain before it is called, except for `data` and `progress`."""
    names = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = names.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if name not in _UNTOUCHED:
                given.arguments[name] = make_plain(value)
        return function(*given.args, **given.kwargs)

    return call


def make_plain(value: Any) -> Any:
    """A number or text of NumPy as Python's; a generator, a row of values, or a set (sorted) as a list; so inside too.

    A path, and everything else, stays as it is.
    """
    if isinstance(value, str | int | float) and not hasattr(value, "item"):
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if isinstance(value, Mapping):
        return {make_plain(key): make_plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((make_plain(one) for one in value), key=str)
    return [make_plain(one) for one in value] if _is_row(value) else value


def _is_row(value: Any) -> bool:
    """Whether something is a generator, a list, a view of a dict, a one-dimensional array or a column of a table."""
    if isinstance(value, str | bytes | bytearray | memoryview) or not isinstance(value, Iterable):
        return False
    return isinstance(value, Iterator) or (hasattr(value, "__len__") and getattr(value, "ndim", 1) == 1)
