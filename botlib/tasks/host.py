"""The event loop that a manager lives on, and calls to it from other code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from botlib.core.blocking import call_on, current_loop, discard, submit, wait_for_result
from botlib.core.errors import BlockingCallOnRuntime, TaskError
from botlib.core.lag import LagMeter
from botlib.tasks.environment import TaskEnvironment

T = TypeVar("T")

ANSWER_SECONDS: Final = 30.0
"""Seconds that a plain call from another thread waits for the loop."""


class LoopHost:
    """The binding of a manager to its event loop.

    The loop is bound at the first start, and released when it turns out to be gone.

    Args:
        make_environment: builds the environment of the tasks on a loop.
        loop_gone: called when the loop is gone, and with it all that ran there.
        lag: the lag meter of the loop; without one, the host creates and starts its own.
    """

    def __init__(
        self,
        make_environment: Callable[[asyncio.AbstractEventLoop], TaskEnvironment],
        loop_gone: Callable[[], None],
        lag: LagMeter | None,
    ) -> None:
        self.env: TaskEnvironment | None = None
        self._make_environment = make_environment
        self._loop_gone = loop_gone
        self._own_meter = lag is None
        self._lag = lag or LagMeter()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop bound to, None before the first start; a closed one is released."""
        if self.env is not None and self.env.loop.is_closed():
            self._release()
        return None if self.env is None else self.env.loop

    @property
    def lag(self) -> LagMeter:
        """The lag meter of the loop."""
        return self._lag

    def check(self, what: str) -> asyncio.AbstractEventLoop:
        """Return the running loop, which must be the manager's if that still runs.

        Args:
            what: the call that is checked, for the message.

        Raises:
            TaskError: no loop runs here, or the manager lives on another one.
        """
        running = current_loop()
        if running is None:
            raise TaskError(
                f"{what} needs an event loop that runs. Await it in a coroutine, or in a program "
                "use asyncio.run()."
            )
        own = self.loop
        if own is not None and own is not running:
            if own.is_running():
                raise TaskError(
                    f"{what} was called on another event loop than the one the task manager lives "
                    "on. Await it there, or call it through manager.blocking."
                )
            self._release()
        return running

    def bind(self, what: str) -> TaskEnvironment:
        """Bind the manager to the running loop, and return the environment there.

        Raises:
            TaskError: as `check`.
        """
        loop = self.check(what)
        if self.env is None:
            if self._own_meter:
                # Every beat wakes the process, which costs more than most tasks do.
                self._lag = LagMeter(0.5, clock=loop.time)
            self.env = self._make_environment(loop)
        return self.env

    def start_meter(self) -> None:
        """Start the lag meter, if it is the host's own."""
        if self._own_meter:
            self._lag.start()

    def stop_meter(self) -> None:
        """Stop the lag meter, if it is the host's own."""
        if self._own_meter:
            self._lag.stop()

    def call(self, act: Callable[[], T]) -> T:
        """Call a plain function on the loop from any thread; here if that loop does not run.

        Raises:
            TaskError: the loop did not answer in time.
        """
        loop = self.loop
        if loop is None or not loop.is_running() or loop is current_loop():
            return act()
        try:
            return call_on(loop, act, ANSWER_SECONDS)
        except TimeoutError:
            raise TaskError(
                f"The loop of the task manager did not answer within {ANSWER_SECONDS:g} s. "
                "A task blocks it: see the lag in status()."
            ) from None

    def run_blocking(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, wait for it, and return its result.

        If the loop runs in another thread, the coroutine is handed to it. In a cell of a notebook
        the manager may live on the kernel's own loop, which waits for that very cell: there the
        loop is run further from within, through nest_asyncio2.

        Raises:
            TaskError: no loop runs.
            BlockingCallOnRuntime: this is the loop's own thread, and the call would wait for
                itself.
        """
        loop, running = self.loop, current_loop()
        if loop is not None and loop.is_running() and loop is not running:
            future = submit(coro, loop)
            try:
                return wait_for_result(future)
            except KeyboardInterrupt:
                # Only this call is interrupted, not the other work of the loop.
                future.cancel()
                raise
        if running is not None and _nests(running):
            return running.run_until_complete(coro)
        name = getattr(coro, "__name__", repr(coro))
        discard(coro)
        if running is None:
            raise TaskError(
                f"manager.blocking.{name}() needs a loop that runs, and there is none. In a "
                f"program, use asyncio.run() and await manager.{name}() inside."
            )
        raise BlockingCallOnRuntime(
            f"manager.blocking.{name}() was called on the thread of the loop that would have "
            f"to carry it out, and would wait for itself for ever. Use 'await manager.{name}()'."
        )

    def _release(self) -> None:
        self.env = None
        self._loop_gone()


def _nests(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a loop can be run from within itself; patch it if a kernel owns it."""
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
