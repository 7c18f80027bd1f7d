"""The options of a lab's research calls: those of the call that does the work, in one signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from botlib.backtesting.arguments import ARGUMENTS
from botlib.core.arguments import Unset, checked_arguments

P = ParamSpec("P")
T = TypeVar("T")

_OF_THE_LAB: Final = {
    "market": Unset("of the venue"),
    "costs": Unset("of the venue"),
    "order_cost": Unset("as live"),
    "book": Unset("of the data directory"),
}
"""Options that a lab fills in; None is none of them."""


def takes_options_of(
    research: Callable[..., object],
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for a method whose ``options`` are the arguments of another call.

    The method has their names in its signature, for completion and help, and refuses an argument
    of a wrong name or type before candles are read.

    Args:
        research: the call; its candles and its symbol are what the method finds itself.
    """

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        own = inspect.signature(method)
        theirs = inspect.signature(research).parameters.values()
        named = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = [
            one.replace(default=_OF_THE_LAB.get(one.name, one.default))
            for one in theirs
            if one.kind is one.KEYWORD_ONLY and one.name not in own.parameters
        ]
        rest = [one for one in theirs if one.kind is one.VAR_KEYWORD]
        method.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*named, *more, *rest]
        )
        return checked_arguments(ARGUMENTS)(method)

    return decorate
