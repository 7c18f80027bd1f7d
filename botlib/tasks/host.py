"""The loop a manager lives on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from botlib.core.errors import TaskError
from botlib.core.lag import LagMeter
from botlib.tasks.blocking import current_loop
from botlib.tasks.environment import Environment


class Home:
    """Find the manager's loop, bind it at the first start, and let it go when it is gone.

    Args:
        furnish: makes the environment of the tasks on a loop.
        let_go: called when the loop is gone, and all that ran on it.
        lag: the meter of the loop; without one, the home makes its own and starts it.
    """

    def __init__(
        self,
        furnish: Callable[[asyncio.AbstractEventLoop], Environment],
        let_go: Callable[[], None],
        lag: LagMeter | None,
    ) -> None:
        self.env: Environment | None = None
        self._furnish = furnish
        self._let_go = let_go
        self._own_meter = lag is None
        self._lag = lag or LagMeter()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop bound to, None before the first start; one that was closed is let go."""
        if self.env is not None and self.env.loop.is_closed():
            self._leave()
        return None if self.env is None else self.env.loop

    @property
    def lag(self) -> LagMeter:
        """The meter of the loop."""
        return self._lag

    def check(self, what: str) -> asyncio.AbstractEventLoop:
        """Return the running loop, which must not be another one than the manager's.

        Raises:
            TaskError: there is none, or the manager lives on another one.
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
            self._leave()
        return running

    def bind(self, what: str) -> Environment:
        """Make the running loop the manager's own, and return the environment there.

        Raises:
            TaskError: as `check`.
        """
        loop = self.check(what)
        if self.env is None:
            if self._own_meter:
                # Every beat wakes the process, which costs more than most tasks do.
                self._lag = LagMeter(0.5, clock=loop.time)
            self.env = self._furnish(loop)
        return self.env

    def start_meter(self) -> None:
        """Measure the loop, if the meter is the home's own."""
        if self._own_meter:
            self._lag.start()

    def stop_meter(self) -> None:
        """Measure no more."""
        if self._own_meter:
            self._lag.stop()

    def _leave(self) -> None:
        self.env = None
        self._let_go()
