"""The closed candles that the streams of the mirrored venue bring, and those that they lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from botlib.core.clock import iso
from botlib.paper.market.intervals import interval
from botlib.paper.mirror.hearing import Hearing
from botlib.paper.mirror.history import kline_row
from botlib.paper.mirror.market import MirrorMarket

logger = logging.getLogger(__name__)

KLINE: Final = "@kline_"
CLOSED: Final = b'"x":true'
"""What the last frame of a kline contains, and no other one."""
PAGE: Final = 1_000


class CandleKeeper:
    """The keeper of closed candles.

    Args:
        market: the mirrored market, whose history gets them.
        hearing: whether the venue is followed, and what was lost.
    """

    def __init__(self, market: MirrorMarket, hearing: Hearing) -> None:
        self._market = market
        self._hearing = hearing
        self._losses = hearing.losses
        self._closed_at: dict[str, int] = {}

    def sink(self, stream: str) -> Callable[[bytes], None] | None:
        """Return what stores the closed candles of a stream, None if it has none."""
        symbol, _, name = stream.partition(KLINE)
        kind = interval(name)
        if kind is None or "@" in name:
            return None
        known = kind

        def note(payload: bytes) -> None:
            if CLOSED not in payload:
                return
            row = kline_row(payload)
            opened = int(str(row[0]))
            before = self._closed_at.get(stream)
            self._market.history.put(symbol.upper(), known, [row], opened, opened)
            if before is not None and opened > known.next(before):
                if not self._hearing.synced:
                    return  # Those between are fetched now.
                self._losses.gaps += 1
                logger.warning(
                    "%s: no candle came between %s and %s; it is fetched when it is asked for.",
                    *(stream, iso(before), iso(opened)),
                )
            self._closed_at[stream] = max(opened, before or 0)

        return note

    async def fetch_missed(self, stream: str) -> None:
        """Fetch the candles of a stream that closed while nothing was heard.

        Raises:
            Refusal: the venue refuses it.
            UpstreamLost: there was no answer.
        """
        symbol, _, name = stream.partition(KLINE)
        kind, since = interval(name), self._closed_at.get(stream)
        if kind is None or since is None or "@" in name:
            return
        while True:
            start = kind.next(since)
            rows = await self._market.requests.json(
                "klines", symbol=symbol.upper(), interval=kind.code, startTime=start, limit=PAGE
            )
            now = self._market.now
            self._market.history.learn(symbol.upper(), kind, rows, start=start, now=now)
            closed = [int(row[0]) for row in rows if int(row[6]) < now]
            if closed:
                self._losses.missed_candles += len(closed)
                self._closed_at[stream] = since = max(closed[-1], self._closed_at[stream])
            if len(closed) < PAGE:
                return
