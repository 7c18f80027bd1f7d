"""The blocking façade: async methods called from code that cannot await.

There is one implementation of every method, and it is the async one. `Blocking` wraps an object and
turns its coroutine functions into plain calls; how such a call reaches its event loop is up to a
function given by the owner of that loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import logging
import math
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

WAKE_INTERVAL: Final = 0.5
"""Seconds after which a thread that waits for a result wakes up to handle signals."""


class Blocking:
    """A synchronous view of an object: its coroutine functions become blocking calls.

    The view keeps names, signatures and docstrings. An async context manager can be used with
    ``with``.

    Args:
        obj: the object with async methods.
        call: runs a coroutine to its end and returns its result, such as `Runtime.call`.
        missing: builds the message of the `AttributeError` for a name that is no async method;
            without it, everything else of the object passes through.
    """

    __slots__ = ("_call", "_missing", "_obj")

    def __init__(
        self,
        obj: object,
        call: Callable[[Coroutine[Any, Any, Any]], Any],
        *,
        missing: Callable[[str], str] | None = None,
    ) -> None:
        object.__setattr__(self, "_obj", obj)
        object.__setattr__(self, "_call", call)
        object.__setattr__(self, "_missing", missing)

    @property
    def aio(self) -> Any:
        """The object itself, whose methods are awaited."""
        return self._obj

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return inspect.getdoc(self._obj)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._obj, name)
        if not inspect.iscoroutinefunction(value):
            if self._missing is not None:
                raise AttributeError(self._missing(name))
            return value
        run = self._call

        @functools.wraps(value)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            return run(value(*args, **kwargs))

        return blocking

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._obj, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._obj, name)

    def __dir__(self) -> list[str]:
        if self._missing is None:
            return sorted({"aio", *dir(self._obj)})
        kind = type(self._obj)
        return [name for name in dir(kind) if inspect.iscoroutinefunction(getattr(kind, name))]

    def __repr__(self) -> str:
        return repr(self._obj)

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == (other._obj if isinstance(other, Blocking) else other))

    def __hash__(self) -> int:
        return hash(self._obj)

    def __enter__(self) -> Self:
        self._call(self._obj.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        return self._call(self._obj.__aexit__(kind, error, trace))


def current_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def submit(coro: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> Future[T]:
    """Start a coroutine on the loop of another thread and return its future.

    It runs in an empty context: work on that loop belongs to no cell of a notebook, or its output
    would be shown there, and be dropped once that cell has ended.
    """
    return contextvars.Context().run(asyncio.run_coroutine_threadsafe, coro, loop)


def call_on(loop: asyncio.AbstractEventLoop, act: Callable[[], T], timeout: float) -> T:
    """Call a plain function on the loop of another thread, and return its result.

    Args:
        timeout: seconds to wait for the loop.

    Raises:
        TimeoutError: the loop did not get to it in time, and will not call it any more.
    """
    answer: Future[T] = Future()

    def call() -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(act())
        except BaseException as error:
            answer.set_exception(error)

    loop.call_soon_threadsafe(call, context=contextvars.Context())
    try:
        return wait_for_result(answer, timeout)
    except TimeoutError:
        if not answer.done():
            answer.cancel()
        raise


def wait_for_result(future: Future[T], timeout: float | None = None) -> T:
    """Block until a call on another thread has ended, and return its result.

    The waiting thread wakes up at intervals. A signal that another thread took, or that came just
    before this one fell asleep, does not wake it: its handler would run when the call ends, if
    ever.

    Args:
        timeout: seconds to wait; None waits for ever.

    Raises:
        TimeoutError: the call did not end in time; it goes on.
    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    while not future.done() and (left := end - time.monotonic()) > 0:
        concurrent.futures.wait([future], min(left, WAKE_INTERVAL))
    return future.result(0)


def discard(coro: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine that will not run, so that no warning says it was never awaited."""
    try:
        coro.close()
    except (RuntimeError, ValueError):
        logger.debug("%r could not be closed.", coro, exc_info=True)
