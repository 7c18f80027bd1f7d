"""The kill switch: no new positions until a person says so, whatever else hangs or restarts.

It is thrown by a method, over HTTP or by a file, also while a cell or a strategy hangs. It is kept
in the database, so that a restart finds it thrown. Exits and protective stops stay allowed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.errors import BotlibError, EngineError
from botlib.core.model import Halted

if TYPE_CHECKING:
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock
    from botlib.store import OrderJournal
    from botlib.trading.risk import RiskValidator

logger = logging.getLogger(__name__)

STOP_FILE: Final = "STOP"
"""Name of the file in the data directory that throws the switch; its first line is the reason."""

STOP_FILE_INTERVAL: Final = 0.5
"""Usual seconds between two checks for the file."""

REASON_LENGTH: Final = 200
_STATE: Final = "kill_switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One throw of the switch."""

    reason: str
    by: str
    """Which way it was thrown: ``method``, ``dashboard``, ``http`` or ``stop file``."""
    at: int
    """Wall time, ms."""

    def __str__(self) -> str:
        return f"kill switch, {self.by}: {self.reason}"


class KillSwitch:
    """Stops entries for good.

    `throw` may be called from any thread, also where the loop hangs: it takes effect at once and is
    written down when the loop comes to it.
    """

    def __init__(
        self,
        *,
        risk: RiskValidator,
        bus: EventBus,
        clock: Clock,
        stop_file: Path,
        interval: float = STOP_FILE_INTERVAL,
    ) -> None:
        self._interval = interval
        self.stop_file = stop_file
        self.thrown: Kill | None = None
        """The throw that holds, or None."""
        self._risk = risk
        self._bus = bus
        self._clock = clock
        self._lock = threading.Lock()
        self._journal: OrderJournal | None = None
        self._written: Kill | None = None
        self._failing = False
        self._timer: asyncio.TimerHandle | None = None

    def throw(self, reason: str, *, by: str) -> Kill:
        """Stop entries now; where they are stopped already, the first reason stays.

        Raises:
            EngineError: the engine does not run, so that nothing could be written down.
        """
        if self._journal is None:
            raise EngineError(
                "The bot does not run, so there is nothing to stop. To have the next start find "
                f"the kill switch thrown, make a file {STOP_FILE!r} in its data directory."
            )
        text = " ".join(str(reason).split())[:REASON_LENGTH] or "no reason given"
        with self._lock:
            kill = self.thrown or Kill(reason=text, by=by, at=self._clock.now())
            self.thrown = kill
            self._risk.halted = str(kill)
        return kill

    def rearm(self) -> None:
        """Allow entries again, whatever stopped them: a person's decision.

        Raises:
            EngineError: the stop file is still there, or the engine does not run.
            StoreError: it could not be written down; entries stay stopped.
        """
        if self._journal is None:
            raise EngineError("The bot does not run. Connect first, then re-arm it.")
        if self._asked() is not None:
            raise EngineError(
                f"The file {self.stop_file.name!r} in the data directory still says stop. "
                "Remove it, then re-arm."
            )
        # Whoever throws it meanwhile throws it after this.
        with self._lock:
            self._journal.set_state(_STATE, None)
            self.thrown = self._written = None
            self._risk.resume()
        logger.warning("re-armed: entries are allowed again")

    def settle(self) -> None:
        """Write down what was thrown, and tell of it, on the loop; a failure is tried again."""
        kill = self.thrown
        if kill is None or kill == self._written or self._journal is None:
            return
        # Thrown from a thread while another halt was being noted: the switch has the last word.
        self._risk.halted = str(kill)
        try:
            self._journal.set_state(_STATE, asdict(kill))
        except BotlibError as error:
            if not self._failing:
                logger.error("entries are stopped, but that cannot be written down: %s", error)
            self._failing = True
            return
        self._failing = False
        self._written = kill
        logger.error("entries are stopped: %s", kill)
        self._bus.publish(Halted(reason=str(kill)))

    def open(self, journal: OrderJournal) -> None:
        """Find out what an earlier run left, and begin to look for the file, on the loop."""
        self._journal = journal
        left = journal.get_state(_STATE)
        if left is not None:
            self.thrown = self._written = Kill(**left)
            self._risk.halted = str(self.thrown)
            logger.error("entries are still stopped: %s. Re-arm with bot.rearm().", self.thrown)
        self._look()

    def close(self) -> None:
        """Write down what is left and look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.settle()
        self._journal = None

    def _look(self) -> None:
        asked = None if self.thrown is not None else self._asked()
        if asked is not None:
            self.throw(asked, by="stop file")
        self.settle()
        # A timer rather than a task: no task list can stop it.
        self._timer = asyncio.get_running_loop().call_later(
            self._interval, self._look, context=contextvars.Context()
        )

    def _asked(self) -> str | None:
        """Return the first line of the stop file, None where there is none."""
        try:
            # It is looked for all the time: an open that fails costs far more.
            os.stat(self.stop_file)  # noqa: PTH116
            with self.stop_file.open("rb") as file:
                line = file.readline(REASON_LENGTH)
        except FileNotFoundError:
            return None
        except OSError as error:
            # Something is there that cannot be read: a wish to stop is taken as one.
            return f"{STOP_FILE} is there, but cannot be read ({type(error).__name__})"
        return line.decode("utf-8", "replace").strip() or f"the file {STOP_FILE} is there"
