"""Methods of a bot that are those of its lab or its core, with signatures and docstrings."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from botlib.lab import AsyncLab, Lab

if TYPE_CHECKING:
    from botlib.bot.async_bot import AsyncBot

P = ParamSpec("P")
T = TypeVar("T")


class ShownText(str):
    """A text that a cell shows as it is, without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def of_lab(method: Callable[Concatenate[Lab, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Return a method that calls one of ``self.lab``."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self.lab, *args, **kwargs)

    return call


def of_core(
    method: Callable[Concatenate[AsyncBot, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """Return a method that calls one of ``self.aio``, and writes its notes below the cell."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = self._call(method(self.aio, *args, **kwargs))
        for line in self.aio.taken_notes():
            sys.stdout.write(f"{line}\n")
        return cast("T", ShownText(result)) if type(result) is str else result

    return call


def of_async_lab(
    method: Callable[Concatenate[AsyncLab, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Return an async method that calls one of ``self.lab``."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await method(self.lab, *args, **kwargs)

    return cast("Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]", call)
