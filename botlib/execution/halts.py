"""Halts: the persisted latch of reasons why nothing is entered until a person says so."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from botlib.core.errors import BotlibError
from botlib.core.model import Halted
from botlib.store.journal import StoredHalt

if TYPE_CHECKING:
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock
    from botlib.store.journal import OrderJournal

logger = logging.getLogger(__name__)

BY_A_PERSON: Final = ("method", "dashboard", "http", "stop file")
"""Sources of halts that a person asked for, with the kill switch."""


class HaltLatch:
    """Collects the reasons why entries are stopped; exits and protection go on.

    A reason takes effect at once, from any thread. It is written down, and told, when the loop
    comes to `settle`; a restart finds it. Only `rearm` ends it.
    """

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._lock = threading.Lock()
        self._journal: OrderJournal | None = None
        self._halts: tuple[StoredHalt, ...] = ()
        self._unwritten: tuple[StoredHalt, ...] = ()
        self._failing = False

    def open(self, journal: OrderJournal) -> None:
        """Read what an earlier run left."""
        with self._lock:
            self._journal = journal
            left = tuple(journal.halts())
            stored = {halt.reason for halt in left}
            self._unwritten = tuple(one for one in self._unwritten if one.reason not in stored)
            # The journal has the rest of what this latch held, unless a person re-armed it since.
            self._halts = (*left, *self._unwritten)
        for halt in left:
            logger.error("entries are still stopped: %s. Re-arm with bot.rearm().", halt.reason)
        self.settle()

    def close(self) -> None:
        """Store what is not stored yet, and release the journal."""
        self.settle()
        self._journal = None

    @property
    def all(self) -> tuple[StoredHalt, ...]:
        """The halts that hold, the oldest first."""
        return self._halts

    @property
    def first(self) -> str | None:
        """The reason to show: a person's, or else the oldest; None if entries are allowed."""
        halts = sorted(self._halts, key=lambda halt: halt.source not in BY_A_PERSON)
        return halts[0].reason if halts else None

    def reasons(self, symbol: str | None = None) -> tuple[str, ...]:
        """Return why a symbol, or with None any, may not be entered; empty if it may."""
        return tuple(
            halt.reason
            for halt in self._halts
            if symbol is None or halt.symbol is None or halt.symbol == symbol
        )

    def add(self, reason: str, *, source: str, symbol: str | None = None) -> bool:
        """Stop entries; return whether the reason is new. May be called from any thread.

        Args:
            source: who stops them: ``desk``, ``risk``, ``start``, ``method``, ``http`` …
            symbol: the one whose entries are stopped; None stops all.
        """
        with self._lock:
            if any(halt.reason == reason for halt in self._halts):
                return False
            halt = StoredHalt(reason=reason, source=source, began=self._clock.now(), symbol=symbol)
            self._halts = (*self._halts, halt)
            self._unwritten = (*self._unwritten, halt)
        logger.error("entries halted: %s", reason)
        return True

    def settle(self) -> None:
        """Store and publish what was added, on the loop; a failure is retried."""
        while self._unwritten and self._journal is not None:
            halt = self._unwritten[0]
            try:
                self._journal.begin_halt(halt)
            except BotlibError as error:
                if not self._failing:
                    logger.error("entries are stopped, but that is not written down: %s", error)
                self._failing = True
                return
            self._failing = False
            with self._lock:
                self._unwritten = self._unwritten[1:]
            self._bus.publish(Halted(reason=halt.reason))

    def rearm(self, because: str) -> None:
        """Allow entries again, whatever stopped them: a person's decision.

        Raises:
            StoreError: it could not be written down; entries stay stopped.
        """
        assert self._journal is not None
        with self._lock:
            self._journal.end_halts(because, now=self._clock.now())
            self._halts = self._unwritten = ()
        logger.warning("re-armed, entries are allowed again: %s", because)
