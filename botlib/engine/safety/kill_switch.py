"""`KillSwitch`: stops entries until a person re-arms, through hangs and restarts.

It is thrown by a method, over HTTP or by a file, also while a cell or a strategy hangs. It is
stored in the database, so a restart finds it thrown. Exits and protective stops stay allowed, and
whoever throws it may ask that every position is sold as well.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.errors import EngineError
from botlib.core.files import read_start
from botlib.core.text.masking import masked
from botlib.execution.halts import BY_A_PERSON

if TYPE_CHECKING:
    from botlib.core.clock import Clock
    from botlib.execution import HaltLatch
    from botlib.store import OrderJournal

logger = logging.getLogger(__name__)

STOP_FILE: Final = "STOP"
"""Name of the file in the data directory that throws the switch; its first line is the reason."""

CLOSE_LINE: Final = "close_positions"
"""A line of the file that asks to sell every position as well."""

_LONGEST_FILE: Final = 4_096

STOP_FILE_INTERVAL: Final = 0.5
"""Usual seconds between two checks for the file."""

REASON_LENGTH: Final = 200
"""Most characters of a reason."""

_STATE: Final = "kill_switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One use of the switch."""

    reason: str
    by: str
    """The way it was thrown: ``method``, ``dashboard``, ``http`` or ``stop file``."""
    at: int
    """Wall time, ms."""

    def __str__(self) -> str:
        return f"kill switch, {self.by}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """What the stop file asks for."""

    reason: str
    close_positions: bool = False


class KillSwitch:
    """A switch that stops entries until a person re-arms.

    `throw` may be called from any thread, also while the loop hangs: it takes effect at once, and
    is stored on the loop.

    Args:
        halts: the latch that holds entries back.
        stop_file: a file that throws the switch if it exists.
        interval: seconds between two checks for the file.
    """

    def __init__(
        self,
        *,
        halts: HaltLatch,
        clock: Clock,
        stop_file: Path,
        interval: float = STOP_FILE_INTERVAL,
    ) -> None:
        self._interval = interval
        self.stop_file = stop_file
        self._halts = halts
        self._clock = clock
        self._lock = threading.Lock()
        self._open = False
        self._timer: asyncio.TimerHandle | None = None
        self._closing_asked = False
        self.close_positions: Callable[[], object] | None = None
        """Stores the wish to sell every position; None while nothing can be sold."""

    @property
    def thrown(self) -> Kill | None:
        """The use that is in force, the first one, or None."""
        for halt in self._halts.all:
            if halt.source in BY_A_PERSON:
                reason = halt.reason.removeprefix(f"kill switch, {halt.source}: ")
                return Kill(reason=reason, by=halt.source, at=halt.began)
        return None

    def throw(self, reason: str, *, by: str) -> Kill:
        """Stop entries now; if they are stopped already, the first reason stays.

        Args:
            reason: why, in a sentence.
            by: the way it was thrown.

        Raises:
            EngineError: the engine does not run, so nothing could be stored.
        """
        if not self._open:
            raise EngineError(
                "The bot does not run, so there is nothing to stop. To have the next start find "
                f"the kill switch thrown, make a file {STOP_FILE!r} in its data directory."
            )
        text = " ".join(masked(_storable(str(reason))).split())[:REASON_LENGTH] or "no reason given"
        # A use during a re-arming comes after it, whatever was in force before.
        with self._lock:
            kill = self.thrown or Kill(reason=text, by=by, at=self._clock.now())
            self._halts.add(str(kill), source=kill.by)
        return kill

    def rearm(self, because: str = "no reason given") -> None:
        """Allow entries again after any halt: a person's decision.

        Args:
            because: why, in a sentence; it is stored.

        Raises:
            EngineError: the stop file is still there, or the engine does not run.
            StoreError: it could not be stored; entries stay stopped.
        """
        if not self._open:
            raise EngineError("The bot does not run. Connect first, then re-arm it.")
        if self._requested() is not None:
            raise EngineError(
                f"The file {self.stop_file.name!r} in the data directory still says stop. "
                "Remove it, then re-arm."
            )
        with self._lock:
            self._halts.rearm(because)

    def settle(self) -> None:
        """Store and publish the use of the switch, on the loop; a failure is retried."""
        self._halts.settle()

    def open(self, journal: OrderJournal) -> None:
        """Restore the state of the last run, and start to check for the file, on the loop."""
        self._halts.open(journal)
        left = journal.get_state(_STATE)  # of versions before the latch of halts
        if left is not None:
            kill = Kill(**left)
            self._halts.add(str(kill), source=kill.by)
            self._halts.settle()
            journal.set_state(_STATE, None)
        self._open = True
        self._check()

    def close(self) -> None:
        """Stop checking for the file, and store a use of the switch that is not stored yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._halts.close()
        self._open = False

    def _check(self) -> None:
        request = self._requested()
        if request is not None and self.thrown is None:
            self.throw(request.reason, by="stop file")
        self.settle()
        self._close_if_asked(request)
        # A timer and not a task, so that no one can stop it with the tasks.
        self._timer = asyncio.get_running_loop().call_later(
            self._interval, self._check, context=contextvars.Context()
        )

    def _close_if_asked(self, request: StopRequest | None) -> None:
        """Sell every position once for a file that asks for it, as soon as that is possible."""
        if request is None or not request.close_positions:
            self._closing_asked = False
        elif not self._closing_asked and self.close_positions is not None:
            self._closing_asked = True
            logger.warning("the stop file asks to sell every position")
            self.close_positions()

    def _requested(self) -> StopRequest | None:
        """Return what the stop file asks for, None if there is no file."""
        try:
            # A stat is far cheaper than an open that fails, and this runs all the time.
            os.stat(self.stop_file)  # noqa: PTH116
            text = read_start(self.stop_file, _LONGEST_FILE).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            # A file that cannot be read stops entries too, to be on the safe side.
            why = f"{STOP_FILE} is there, but cannot be read ({type(error).__name__})"
            return StopRequest(reason=why)
        lines = [line.strip() for line in text.splitlines()]
        reason = lines[0] if lines and lines[0] != CLOSE_LINE else ""
        return StopRequest(
            reason=reason or f"the file {STOP_FILE} is there", close_positions=CLOSE_LINE in lines
        )


def _storable(text: str) -> str:
    """Return a text without lone surrogates, which JSON can carry and no file can hold."""
    return text.encode("utf-8", "replace").decode()
