"""Arguments of calls from a cell: a wrong type is refused by name before anything is computed.

`checked_arguments` reads the signature of a function: each argument for which a `Kind` is given is
checked, None is accepted if it is the default, and a keyword that the function does not have is
refused with those that it has.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date
from numbers import Integral, Real
from typing import Final, NamedTuple, ParamSpec, TypeVar, cast

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.received import refused
from botlib.core.timeframe import TIMEFRAMES

P = ParamSpec("P")
T = TypeVar("T")


class Unset:
    """The default of an argument that is filled in by the call: shown by what it stands for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"<{self._text}>"


class Kind(NamedTuple):
    """What an argument may be: a test, and what it accepts in words."""

    accepts: Callable[[object], bool]
    words: str


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, numpy's included, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> bool:
    """Return whether a value is a number, numpy's included, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)


TEXT: Final = Kind(is_text, "a text")
SYMBOL: Final = Kind(is_text, "a symbol such as 'BTC/USDT'")
WHOLE: Final = Kind(is_whole, "a whole number")
NUMBER: Final = Kind(is_real, "a number")
SWITCH: Final = Kind(lambda value: isinstance(value, bool | Integral), "True or False")
FUNCTION: Final = Kind(callable, "a function")
PATH: Final = Kind(lambda value: isinstance(value, str | os.PathLike), "a path as text or a Path")
SPAN: Final = Kind(
    lambda value: is_text(value) or is_whole(value), "a span such as '90d', or a number of candles"
)
MOMENT: Final = Kind(
    lambda value: isinstance(value, str | date) or is_real(value),
    "'180d' (back from now), '2024-01-31', a datetime, or ms since the epoch",
)
TIMEFRAME: Final = Kind(is_text, f"one of {', '.join(TIMEFRAMES)}")
SEQUENCE_OF_TIMEFRAMES: Final = Kind(
    lambda value: is_text(value) or _of_texts(value), "timeframes such as ('1h',) or '1h'"
)


def checked_arguments(kinds: Mapping[str, Kind]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that refuses arguments of a wrong type.

    Args:
        kinds: argument → what it may be; those that a function does not have are left out.

    Raises:
        InvalidInput: by the decorated function, with the name of the argument, what came and what
            is accepted.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        parameters = signature.parameters
        keywords = tuple(
            name for name, one in parameters.items() if one.kind is not one.POSITIONAL_ONLY
        )
        open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        checks = [
            (name, kinds[name], one.default is None or isinstance(one.default, Unset))
            for name, one in parameters.items()
            if name in kinds
        ]

        def check(args: tuple[object, ...], named: Mapping[str, object]) -> None:
            if not open_ended:
                refuse_unknown(function.__name__, named, keywords)
            given = signature.bind_partial(*args, **named).arguments
            for name, kind, optional in checks:
                if name in given:
                    check_argument(name, given[name], kind, optional=optional)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            check(args, kwargs)
            return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> object:
            check(args, kwargs)
            return await cast("Awaitable[object]", function(*args, **kwargs))

        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, T]", awaited)
        return call

    return decorate


def check_argument(name: str, value: object, kind: Kind, *, optional: bool = False) -> None:
    """Check one argument.

    Args:
        optional: whether None is accepted.

    Raises:
        InvalidInput: it is of another type.
    """
    if (value is None and optional) or (value is not None and kind.accepts(value)):
        return
    raise refused(name, value, f"{kind.words}, or None" if optional else kind.words)


def refuse_unknown(call: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    """Check the names of keyword arguments.

    Raises:
        InvalidInput: one of them is not accepted.
    """
    known = tuple(accepted)
    for name in given:
        if name not in known:
            raise InvalidInput(
                f"{call} has no argument {name!r}. Accepted: {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )


def is_listing(value: object) -> bool:
    """Return whether a value is a text, a path or several of them, to be read one by one."""
    if isinstance(value, list | tuple):
        return all(isinstance(one, str | os.PathLike) for one in value)
    return isinstance(value, str | os.PathLike) or (
        isinstance(value, Iterable) and not hasattr(value, "shape")
    )


def _of_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and all(map(is_text, value))
