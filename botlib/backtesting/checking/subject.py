"""The strategy that is checked, asked each time as a copy that nobody has asked before."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botlib.backtesting.checking.fingerprint import fingerprint, is_fixed
from botlib.backtesting.checking.truncation import ObservedColumn, observe

if TYPE_CHECKING:
    from botlib.frames import Frames
    from botlib.strategy import Strategy


class Deadline:
    """A moment by which a check has to be done."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, not below 0."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._end

    def part(self, share: float) -> Deadline:
        """Return the deadline of a part that may take a share of what is left."""
        return Deadline(self.left * share)


@dataclass(slots=True)
class Subject:
    """A strategy that is checked.

    Each question goes to a fresh copy, as if the strategy had just been made: what an earlier
    question left on it cannot help to answer.
    """

    strategy: Strategy
    uncopied: str = ""
    """Why it cannot be copied, "" if it can."""
    after: dict[str, object] = field(default_factory=dict)
    """Fingerprints of what was on the copy that was asked last, after it had answered."""
    last: Strategy | None = None
    _plain: bool = False

    def __post_init__(self) -> None:
        self._plain = all(is_fixed(value) for value in vars(self.strategy).values())

    @property
    def warmup(self) -> int:
        """The warm-up that the strategy claims."""
        return self.strategy.warmup

    def fresh(self) -> Strategy:
        """Return a copy; the strategy itself if it cannot be copied, which `uncopied` tells."""
        if self._plain:
            return copy.copy(self.strategy)
        try:
            return copy.deepcopy(self.strategy)
        except Exception as error:
            self.uncopied = f"{type(error).__name__}: {error}"
            return self.strategy

    def observe(self, frames: Frames) -> dict[str, ObservedColumn]:
        """Return the columns of a fresh copy, and note what it has kept.

        Raises:
            ConfigError: the signals do not fit the frames.
        """
        self.last = self.fresh()
        columns = observe(self.last, frames)
        self.after = kept(self.last)
        return columns


def kept(strategy: Strategy) -> dict[str, object]:
    """Return fingerprints of all attributes of a strategy object, by name."""
    return {name: fingerprint(value) for name, value in vars(strategy).items()}
