"""The state of a mirror, as the control API answers it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorState:
    """How well a mirror follows its venue, and what it lost.

    Attributes:
        venue: name of the mirrored venue.
        upstream: its address, or that of its stand-in.
        stale: whether it does not know what happens there, and fills nothing.
        reason: why it is stale, empty if it is not.
        connected: whether the connection to its streams stands.
        silent: seconds since its time was heard.
        connections: connections to its streams so far.
        frames: frames of it so far.
        malformed: frames and answers that could not be read.
        streams: streams that are subscribed there.
        refused_streams: streams that were too many for one connection.
        followed: ids of the symbols whose orders can be matched.
        requests: requests to it so far.
        weight: their weight in the present minute, as the venue counts it.
        clock_offset: ms by which its clock is ahead of the computer's.
        staleness: how often the mirror was stale.
        gaps: times at which trades or candles were lost and not fetched at once.
        missed_trades: trades that were fetched after a loss.
        missed_candles: candles that were fetched after a loss.
        resyncs: how often it has caught up with the venue, its start included.
    """

    venue: str
    upstream: str
    stale: bool
    reason: str
    connected: bool
    silent: float
    connections: int
    frames: int
    malformed: int
    streams: int
    refused_streams: int
    followed: tuple[str, ...]
    requests: int
    weight: int
    clock_offset: int
    staleness: int
    gaps: int
    missed_trades: int
    missed_candles: int
    resyncs: int

    @property
    def reconnections(self) -> int:
        """Connections after the first."""
        return max(0, self.connections - 1)

    def losses(self) -> str:
        """Return what was lost and fetched so far in words, empty if nothing was."""
        counted = (
            (self.reconnections, "reconnection", "reconnections"),
            (self.gaps, "gap", "gaps"),
            (self.missed_trades, "trade fetched afterwards", "trades fetched afterwards"),
            (self.missed_candles, "candle fetched afterwards", "candles fetched afterwards"),
            (self.malformed, "unreadable frame", "unreadable frames"),
        )
        return ", ".join(
            f"{count} {one if count == 1 else many}" for count, one, many in counted if count
        )
