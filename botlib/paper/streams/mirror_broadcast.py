"""The broadcast of a mirror: the frames of the mirrored venue, as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from botlib.core.errors import UnknownSymbol
from botlib.paper.faults import Faults
from botlib.paper.market.feed import Feed
from botlib.paper.mirror.candles import CLOSED, KLINE
from botlib.paper.streams.broadcast import Broadcast

_STREAM: Final = re.compile(r"[^\s\"\\,@]{1,60}@[\w@:+-]{1,40}|![\w@]{1,40}")


class MirrorBroadcast(Broadcast):
    """The publisher of the venue's frames.

    Args:
        want: subscribes a stream at the venue.
        drop: unsubscribes it.
        faults: the faults that change frames.
    """

    def __init__(
        self, want: Callable[[str], object], drop: Callable[[str], object], faults: Faults
    ) -> None:
        super().__init__(_no_feed, lambda feed: None, faults)
        self._want, self._drop = want, drop
        self._wanted: set[str] = set()
        self._latest: dict[str, bytes] = {}

    def forward(self, stream: str, payload: bytes) -> None:
        """Send a payload of the venue to the subscribers of its stream, with the next push."""
        if KLINE in stream:
            if stream in self._wanted:
                self._latest[stream] = payload
            self.streams.publish_kline(stream, payload, closing=CLOSED in payload)
        else:
            self.streams.publish(stream, payload)

    def klines(self) -> list[str]:
        """Return the names of the kline streams that have subscribers."""
        return [name for name in self._wanted if KLINE in name]

    async def account_trades(self, feed: Feed) -> bool:
        """Do nothing: trades of the accounts are not trades of the venue."""
        return False

    async def orders_changed(self, feed: Feed, *, traded: bool) -> None:
        """Do nothing: the venue's book does not show orders of the accounts."""

    def _opened(self, stream: str) -> None:
        # As on Binance, an unknown stream is accepted and sends nothing.
        if (
            _STREAM.fullmatch(stream)
            and stream.lower().partition("@")[0] == stream.partition("@")[0]
        ):
            self._want(stream)
            self._wanted.add(stream)

    def _left(self, stream: str) -> None:
        self._latest.pop(stream, None)
        if stream in self._wanted:
            self._wanted.discard(stream)
            self._drop(stream)

    def _snapshot(self, stream: str) -> object | None:
        return self._latest.get(stream)


def _no_feed(symbol: str) -> Feed:
    raise UnknownSymbol(f"{symbol} has no feed of its own streams.")
