"""`StrategyFitting`: strategies of an engine that learn from candles, at first and on schedule.

Each time a new object learns in a thread, from stored candles that have closed, and takes the place
of the one that is asked. If it fails, the earlier one goes on, which is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from botlib.core.clock import iso
from botlib.core.errors import ConfigError
from botlib.core.text import formats
from botlib.core.timeframe import timeframe_ms
from botlib.engine.strategies.failure import Failure
from botlib.frames import Frames, open_times

if TYPE_CHECKING:
    import pandas as pd

    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.store import CandleStorage
    from botlib.strategy import Strategy

logger = logging.getLogger(__name__)


class StrategyFitting:
    """The learning of strategies.

    Args:
        storage: the stored candles.
        tell: shows a person the first of several failures in a row.
    """

    def __init__(self, storage: CandleStorage, tell: Callable[[str], None]) -> None:
        self._storage = storage
        self._tell = tell

    async def first(self, active: ActiveStrategy, candle: int) -> None:
        """Have a strategy learn that has to and has not yet.

        Args:
            candle: open time of the newest candle it may know, ms.

        Raises:
            ConfigError: it does not say from how many candles, or too few are stored.
            Exception: that of its `fit`.
        """
        if active.strategy.learns and active.strategy.training is None:
            await self._learn(active, candle)

    def due(self, active: ActiveStrategy, candle: int) -> bool:
        """Return whether a strategy has to learn again after a candle, and does not already."""
        every, training = active.strategy.refit_every, active.strategy.training
        if not active.strategy.learns or every <= 0 or training is None:
            return False
        if active.fitting is not None and not active.fitting.done():
            return False
        length = timeframe_ms(active.strategy.timeframes[0])
        return candle - milliseconds(training.last) >= every * length

    async def again(self, active: ActiveStrategy, candle: int) -> None:
        """Have a strategy learn again; if that fails, the earlier one stays, which is told.

        Args:
            candle: open time of the newest candle it may know, ms.
        """
        try:
            await self._learn(active, candle)
        except Exception as error:
            active.misfit = (
                Failure.of(error, active.strategy, candle)
                if active.misfit is None
                else active.misfit.again(error, candle)
            )
            logger.warning("%s did not learn again: %s", active.name, active.misfit.error)
            if active.misfit.in_row == 1:
                self._tell(
                    f"The strategy {active.name!r} did not learn again after the candle of "
                    f"{iso(candle)} UTC. It goes on with what it learned from "
                    f"{active.strategy.training}, and tries after the next candle.\n"
                    f"{active.misfit.trace}"
                )

    async def _learn(self, active: ActiveStrategy, candle: int) -> None:
        fitted = await asyncio.to_thread(self._fitted, active, candle)
        active.strategy, active.misfit = fitted, None
        active.fits += 1
        logger.info("%s has learned from %s", active.name, fitted.training)

    def _fitted(self, active: ActiveStrategy, candle: int) -> Strategy:
        return active.strategy.fitted(self._training(active, candle))

    def _training(self, active: ActiveStrategy, candle: int) -> Frames:
        """Return the newest stored candles that had closed with a candle of the trading frame."""
        strategy, symbol = active.strategy, active.symbol
        base, name = strategy.timeframes[0], type(strategy).__name__
        if strategy.train_candles <= 0:
            raise ConfigError(
                f"{name} learns from candles (it defines fit), and does not say from how many: set "
                f"train_candles in the class, or give {name}(...).fitted(frames)."
            )
        found = {base: self._storage.frame(symbol, base, None, candle, strategy.train_candles)}
        if len(found[base]) < strategy.train_candles:
            raise ConfigError(
                f"{name} learns from {formats.count(strategy.train_candles)} candles of {symbol} "
                f"{base}; {formats.count(len(found[base]))} are stored. bot.download({symbol!r}, "
                f"{base!r}, since=...) fetches more."
            )
        first = int(open_times(found[base].index)[0])
        for timeframe in strategy.timeframes[1:]:
            last = candle + timeframe_ms(base) - timeframe_ms(timeframe)
            found[timeframe] = self._storage.frame(symbol, timeframe, first, last)
        return Frames(symbol, found)


def milliseconds(time: pd.Timestamp) -> int:
    """Return the time of an index of candles in ms."""
    return int(time.as_unit("ms").asm8.astype("int64"))
