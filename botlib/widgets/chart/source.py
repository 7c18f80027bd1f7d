"""The source of candles before those that a chart has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleHistory:
    """A part of the history of a market.

    Attributes:
        frame: a candle frame.
        whole: whether there are no candles before it.
        repaired: first and last open times (ms) of ranges that were fetched later, to fill a gap.
    """

    frame: pd.DataFrame
    whole: bool
    repaired: tuple[tuple[int, int], ...] = ()


class HistorySource(Protocol):
    """A source of older candles."""

    def older(self, before: int, count: int, done: Callable[[CandleHistory], None]) -> None:
        """Call ``done`` with the ``count`` candles before an open time (ms).

        It is called at once or later, from any thread.
        """
        ...
