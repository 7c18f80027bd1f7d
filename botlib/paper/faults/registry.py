"""The faults that were ordered, and the occasions at which they strike."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from botlib.core.errors import PaperExchangeError
from botlib.core.symbol import symbol_id
from botlib.core.timeframe import parse_duration
from botlib.paper.accounts.signatures import wall_time
from botlib.paper.faults.fault import Fault
from botlib.paper.faults.kinds import CRASHES, FRAMES
from botlib.venues.symbols import unified_symbol


class Faults:
    """The faults of one exchange: they are ordered, wait for an occasion, and strike.

    Args:
        seed: seed of the probability with which faults strike.

    Attributes:
        struck: how often each kind has struck.
        skew: ms by which the server's clock is ahead.
        offset: ms by which the clock of a mirrored venue is ahead of the computer's.
        frames: whether a fault waits for a frame.
        crash: kills the process; None if the exchange has no process of its own.
        restart: closes the exchange and opens it after the given seconds; None if it cannot be
            started again.
        time_changed: called when market time or the number of orders has changed; returns whether
            a listener may have to act on it first.
    """

    def __init__(self, seed: int = 0) -> None:
        self.struck: dict[str, int] = {}
        self.skew = 0
        self.offset = 0
        self.frames = False
        self.crash: Callable[[], object] | None = None
        self.restart: Callable[[float], object] | None = None
        self.time_changed: Callable[[], bool] = no_one
        self._waiting: dict[str, list[Fault]] = {}
        self._rng = random.Random(seed)

    def seed(self, seed: int) -> None:
        """Start the random numbers again from a seed."""
        self._rng = random.Random(seed)

    def server_time(self) -> int:
        """Return the server's time in ms: the computer's plus the ordered skew and the offset."""
        return wall_time() + self.skew + self.offset

    def order(self, kind: str, details: Mapping[str, Any]) -> float:
        """Order a fault for its next occasions; a count of 0 cancels the kind.

        Args:
            kind: the kind of fault.
            details: as `check_details` accepts them.

        Returns:
            The number of occasions that it will strike, less than 0 for all.

        Raises:
            PaperExchangeError: a crash is ordered, but the exchange has no process of its own.
        """
        if kind in CRASHES and self.crash is None:
            raise PaperExchangeError(
                "Only an exchange in a process of its own can crash. Order a 'restart' here."
            )
        fault = _read(details)
        if fault.left > 0:
            self._waiting.setdefault(kind, []).append(fault)
        else:
            self._waiting.pop(kind, None)
        self._note()
        return fault.left if math.isfinite(fault.left) else -1

    def clear(self) -> None:
        """Cancel all faults that wait."""
        self._waiting.clear()
        self._note()

    def pending(self, kind: str) -> bool:
        """Return whether a fault of a kind waits, without using it up."""
        return kind in self._waiting

    def take(self, kind: str, place: str, symbol: str = "") -> Fault | None:
        """Return the fault that strikes an occasion and count it, None if none strikes."""
        waiting = self._waiting.get(kind)
        if waiting is None:
            return None
        now = asyncio.get_running_loop().time()
        found = None
        for fault in tuple(waiting):
            if now >= fault.until:
                self._done(kind, fault)
            elif found is None and fault.concerns(place, symbol) and self._strikes(fault):
                found = fault
                fault.left -= 1
                if fault.left <= 0:
                    self._done(kind, fault)
        if found is not None:
            self.count(kind)
        return found

    def count(self, kind: str, times: int = 1) -> None:
        """Count that a kind of fault has struck."""
        self.struck[kind] = self.struck.get(kind, 0) + times

    def _strikes(self, fault: Fault) -> bool:
        if fault.skip > 0:
            fault.skip -= 1
            return False
        return fault.probability >= 1 or self._rng.random() < fault.probability

    def _done(self, kind: str, fault: Fault) -> None:
        waiting = self._waiting.get(kind, [])
        if fault in waiting:
            waiting.remove(fault)
        if not waiting:
            self._waiting.pop(kind, None)
        self._note()

    def _note(self) -> None:
        # Checked for every frame, and most of the time there is no fault at all.
        self.frames = not self._waiting.keys().isdisjoint(FRAMES)


def _read(details: Mapping[str, Any]) -> Fault:
    lasting = details.get("for")
    until = math.inf
    if lasting is not None:
        until = asyncio.get_running_loop().time() + parse_duration(lasting)
    # A fault that lasts for a time strikes all occasions in it.
    count = details.get("count", 1 if lasting is None else math.inf)
    symbol = details.get("symbol", "")
    return Fault(
        left=count,
        match=details.get("match", ""),
        symbol=symbol_id(unified_symbol(symbol)) if symbol else "",
        skip=details.get("skip", 0),
        probability=details.get("probability", 1.0),
        until=until,
        status=details.get("status", 503),
        retry_after=details.get("retry_after"),
        reply=details.get("reply", "drop"),
        seconds=parse_duration(details.get("seconds", 1.0)),
        text=details.get("text", ""),
        values=details.get("values", {}),
    )


def no_one() -> bool:
    """Return False: no listener has to act."""
    return False
