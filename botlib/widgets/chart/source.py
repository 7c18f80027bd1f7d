"""Where a chart gets the candles from that came before those it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleHistory:
    """Candles in a row.

    Attributes:
        frame: a candle frame.
        whole: whether nothing is to be had before it.
        repaired: first and last open times (ms) of what was fetched after the fact.
    """

    frame: pd.DataFrame
    whole: bool
    repaired: tuple[tuple[int, int], ...] = ()


class HistorySource(Protocol):
    """Gives a chart older candles."""

    def older(self, before: int, count: int, done: Callable[[CandleHistory], None]) -> None:
        """Find the ``count`` candles before an open time (ms) and hand them to ``done``.

        At once or later, from any thread.
        """
        ...
