"""Calls into the loop of a manager from code that cannot await, or runs in another thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botlib.core.errors import BlockingCallOnRuntime, TaskError

if TYPE_CHECKING:
    from botlib.tasks.manager import BackgroundTaskManager

T = TypeVar("T")

ANSWER_SECONDS: Final = 30.0
"""How long a call from another thread waits for the loop."""


def call_on(loop: asyncio.AbstractEventLoop | None, act: Callable[[], T]) -> T:
    """Call ``act`` on a loop and return its result; here and now where that loop does not run.

    Raises:
        TaskError: the loop did not answer in time.
    """
    if loop is None or not loop.is_running() or loop is current_loop():
        return act()
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()

    def call() -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(act())
        except BaseException as error:
            answer.set_exception(error)

    loop.call_soon_threadsafe(call, context=contextvars.Context())
    try:
        return answer.result(ANSWER_SECONDS)
    except concurrent.futures.TimeoutError:
        answer.cancel()
        raise TaskError(
            f"The loop of the task manager did not answer within {ANSWER_SECONDS:g} s. "
            "A task blocks it: see the lag in status()."
        ) from None


def current_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class BlockingTasks:
    """Every async method of a manager, as ``manager.blocking.start_all()``.

    Where the manager's loop runs in another thread, the call is handed to it and waited for. In a
    cell of a notebook the manager may live on the kernel's own loop, which waits for that very
    cell: there the loop is run further from within, through nest_asyncio2. Anywhere else a
    blocking call on the loop's own thread would wait for itself, and is refused.
    """

    def __init__(self, manager: BackgroundTaskManager) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._manager, name)
        if name.startswith("_") or not inspect.iscoroutinefunction(method):
            raise AttributeError(
                f"{name!r} is no async method of the task manager. Call manager.{name} itself."
            )

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, functools.partial(method, *args, **kwargs))

        return call

    def __dir__(self) -> list[str]:
        manager = type(self._manager)
        return [
            name for name in dir(manager) if inspect.iscoroutinefunction(getattr(manager, name))
        ]

    def _call(self, name: str, begin: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        own = self._manager.loop
        running = current_loop()
        if own is not None and own.is_running() and own is not running:
            return _wait_in_thread(begin(), own)
        if running is None:
            raise TaskError(
                f"manager.blocking.{name}() needs a loop that runs, and there is none. In a "
                f"program, use asyncio.run() and await manager.{name}() inside."
            )
        if not _nests(running):
            raise BlockingCallOnRuntime(
                f"manager.blocking.{name}() was called on the thread of the loop that would have "
                f"to carry it out, and would wait for itself for ever. Use "
                f"'await manager.{name}()'."
            )
        return running.run_until_complete(begin())


def _wait_in_thread(coro: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Any:
    future = asyncio.run_coroutine_threadsafe(coro, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        # Only the call is interrupted, not what the loop does besides.
        future.cancel()
        raise


def _nests(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop can be run from within itself, and let it where a kernel owns it."""
    if hasattr(loop, "_nest_patched"):
        return True
    kernel = sys.modules.get("ipykernel.kernelapp")
    if kernel is None or not kernel.IPKernelApp.initialized():
        return False
    import nest_asyncio2

    try:
        nest_asyncio2.apply(loop)
    except ValueError:  # a loop that is not written in Python, such as uvloop
        return False
    return True
