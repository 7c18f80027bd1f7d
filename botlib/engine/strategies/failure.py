"""`Failure`: the error with which a strategy fails, since when, and its own lines of code."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from botlib.core.clock import iso
from botlib.core.text.tracebacks import own_traceback

if TYPE_CHECKING:
    from botlib.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Candles in a row on which a strategy failed. Times are open times of candles, ms."""

    error: str
    """Of the newest failure."""
    trace: str
    """The strategy's own lines, and the error."""
    since: int
    newest: int
    in_row: int = 1

    @classmethod
    def of(cls, error: BaseException, strategy: Strategy, candle: int) -> Failure:
        """Return the first failure of a row.

        Args:
            candle: open time of the candle on which the strategy was asked, ms.
        """
        return cls(
            error=error_line(error),
            trace=own_traceback(error, _files(strategy)),
            since=candle,
            newest=candle,
        )

    def again(self, error: BaseException, candle: int) -> Failure:
        """Return the row with one failure more."""
        words = error_line(error)
        return replace(self, error=words, newest=candle, in_row=self.in_row + 1)

    def told(self, name: str, symbol: str, timeframe: str) -> str:
        """Return what is told of the first failure, with the strategy's own lines."""
        return (
            f"The strategy {name!r} failed on the candle of {symbol} {timeframe} of "
            f"{iso(self.since)} UTC (market time); it is asked again on the next one.\n{self.trace}"
        )


def error_line(error: BaseException) -> str:
    """Return the kind and the message of an error in one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _files(strategy: Strategy) -> tuple[str, ...]:
    try:
        return (inspect.getfile(type(strategy)),)
    except (TypeError, OSError):
        return ()  # it was defined in a program without a file
