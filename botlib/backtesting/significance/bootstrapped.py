"""`Bootstrapped`: the drawn histories of a result with round trips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from botlib.backtesting.arguments import checked
from botlib.backtesting.metrics import YEAR_MS
from botlib.core.timeframe import timeframe_ms

if TYPE_CHECKING:
    from botlib.backtesting.significance.bootstrap import BootstrapReport


class Traded(Protocol):
    """A result with round trips: of a backtest or a walk forward."""

    cash: float
    timeframe: str

    @property
    def equity(self) -> Any:
        """Equity at the close of every traded candle."""

    @property
    def roundtrips(self) -> Any:
        """A frame with the columns ``pnl`` and ``exit_time``, in order."""


class Bootstrapped:
    """Base of a `Traded` result."""

    @checked
    def bootstrap(
        self: Traded,
        *,
        samples: int = 10_000,
        confidence: float = 0.95,
        seed: int = 0,
        block: int = 1,
    ) -> BootstrapReport:
        """Return confidence intervals of return, drawdown and Sharpe ratio, from the round trips.

        Args:
            samples: histories to draw.
            confidence: of the intervals.
            seed: the same seed gives the same draws.
            block: trips in a row to draw together; more than 1 keeps how they depend on each other.

        Raises:
            InvalidInput: fewer than two finished round trips, or an argument out of range.
        """
        from botlib.backtesting.significance.bootstrap import bootstrap

        return bootstrap(
            self,
            cash=self.cash,
            years=len(self.equity) * timeframe_ms(self.timeframe) / YEAR_MS,
            samples=samples,
            confidence=confidence,
            seed=seed,
            block=block,
        )
