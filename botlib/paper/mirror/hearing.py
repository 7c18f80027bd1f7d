"""What is heard of the mirrored venue: whether the mirror follows it, and what it lost."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from botlib.paper.mirror.source import MirrorSource
from botlib.paper.mirror.stream import VenueStream

logger = logging.getLogger(__name__)

NOT_YET: Final = "It is not connected yet."


@dataclass(slots=True)
class Losses:
    """What was lost so far, and made good.

    Attributes:
        staleness: how often the mirror was stale.
        gaps: times at which trades or candles were lost and not fetched at once.
        missed_trades: trades that were fetched after a loss.
        missed_candles: candles that were fetched after a loss.
        malformed: frames and answers that could not be read.
    """

    staleness: int = 0
    gaps: int = 0
    missed_trades: int = 0
    missed_candles: int = 0
    malformed: int = 0


@dataclass(slots=True)
class Hearing:
    """The ear of a mirror: it follows the venue from `follow` to `lose`, unless it hears nothing.

    Args:
        source: the venue.
        stream: the connection to its streams.

    Attributes:
        synced: whether what was missed has been fetched since the connection was made.
        resyncs: how often that was done.
        losses: what was lost.
    """

    source: MirrorSource
    stream: VenueStream
    synced: bool = False
    resyncs: int = 0
    losses: Losses = field(default_factory=Losses)
    _reason: str = NOT_YET
    _heard: float = 0.0
    # After a silence a new connection proves nothing before something is heard on it.
    _muted: bool = False
    _since: float | None = None

    def hear(self) -> None:
        """Note that the venue's time has moved."""
        self._heard = asyncio.get_running_loop().time()
        if self._muted:
            self._muted = False
            self._tell()

    def silent(self) -> float:
        """Return for how many seconds the venue's time has not moved, on this connection."""
        now = asyncio.get_running_loop().time()
        return now - max(self._heard, self.stream.dialled)

    @property
    def stale(self) -> bool:
        """Whether the mirror does not know what happens at the venue."""
        return not self.synced or self._muted or self.silent() > self.source.stale_after

    @property
    def reason(self) -> str:
        """Why the mirror is stale, empty if it is not."""
        if not self.stale:
            return ""
        if self.stream.connected and (self.synced or self._muted):
            return self._silence
        return self._reason

    @property
    def _silence(self) -> str:
        return f"Nothing was heard for more than {self.source.stale_after:g} s."

    def follow(self) -> None:
        """Note that what was missed has been fetched."""
        self.resyncs += 1
        self.synced = True
        self._tell()

    def lose(self, reason: str) -> None:
        """Note that the venue is not followed any more, or still is not."""
        if self.synced:
            self.losses.staleness += 1
            self._since = asyncio.get_running_loop().time()
        if self.synced or self._reason != reason:
            logger.warning(
                "The mirror of %s is stale, and fills nothing: %s", self.source.venue, reason
            )
        self.synced, self._reason = False, reason

    def mute(self) -> str | None:
        """Note a silence that is too long; return it in words, None if it is not."""
        if not self.stream.connected or self.silent() <= self.source.stale_after:
            return None
        self._muted = True
        self.lose(self._silence)
        return self._silence

    def _tell(self) -> None:
        if self.stale:
            return
        if self._since is None:
            if self.resyncs == 1:
                logger.info("The mirror follows %s.", self.source.venue)
            return
        now, losses = asyncio.get_running_loop().time(), self.losses
        logger.warning(
            "The mirror follows %s again after %.1f s. So far it was stale %d times on %d "
            "connections; %d trades and %d candles were fetched afterwards, and %d gaps were not.",
            *(self.source.venue, now - self._since, losses.staleness, self.stream.dials),
            *(losses.missed_trades, losses.missed_candles, losses.gaps),
        )
        self._since = None
