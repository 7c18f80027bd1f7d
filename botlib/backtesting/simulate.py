"""The simulation: wishes in, fills out, one candle at a time where it must be.

Rules, the same as those of the paper exchange:

* A wish is acted on at the open of the next candle.
* A stop or target that lies inside a candle is filled at its own price. A candle that opens beyond
  the stop fills at the open. A target is a resting order: it is filled at its own price, never
  better.
* Where one candle reaches both the stop and the target, the stop comes first.
* A stop or target is in force from the fill of the entry, the rest of that candle included.
* A trailing stop follows the highest high of the candles that closed since the entry, so it moves
  when a candle closes, never inside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from botlib.backtesting.account import SimulatedAccount, SimulatedFill
from botlib.backtesting.metrics import Floats
from botlib.trading.stops import StopLevels, StopRules

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.inputs import Flags
    from botlib.backtesting.terms import Terms

Rows = npt.NDArray[np.int64]

REASONS = ("", "exit", "stop_loss", "trailing_stop", "take_profit")
"""Why a position was left; the empty one is still held."""

_FIRST_LOOK = 64
"""Candles searched for a stop at first; each further look is four times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """The fills of a simulation: one array each, one element per fill, in order.

    ``row`` counts candles, ``amount`` is in base units, ``kept`` is what a purchase left in hand
    after a fee taken from it, ``fee`` is in quote units, ``reason`` counts in `REASONS`.
    """

    row: Rows
    buy: npt.NDArray[np.bool_]
    price: Floats
    amount: Floats
    kept: Floats
    fee: Floats
    reason: Rows

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestRun:
    """A finished simulation.

    ``portfolio`` is the vectorbt ``Portfolio`` that accounts for it; ``levels`` tells where stops
    and targets lay, None where there were none.
    """

    portfolio: Any
    fills: Fills
    refused: int
    levels: StopLevels | None = None


class _FillColumns:
    def __init__(self) -> None:
        self.rows: list[tuple[int, bool, float, float, float, float, int]] = []

    def add(self, row: int, done: SimulatedFill, *, buy: bool, reason: int = 0) -> None:
        self.rows.append((row, buy, done.price, done.amount, done.kept, done.fee, reason))

    def fills(self) -> Fills:
        columns = list(zip(*self.rows, strict=True)) or [()] * 7
        return Fills(
            row=np.array(columns[0], dtype=np.int64),
            buy=np.array(columns[1], dtype=bool),
            price=np.array(columns[2], dtype=np.float64),
            amount=np.array(columns[3], dtype=np.float64),
            kept=np.array(columns[4], dtype=np.float64),
            fee=np.array(columns[5], dtype=np.float64),
            reason=np.array(columns[6], dtype=np.int64),
        )


class FillSimulator:
    """One walk through the candles with an account.

    Args:
        values: n rows of open, high, low, close.
        entries: candles at whose open an entry is due.
        exits: candles at whose open an exit is due; none is also an entry.
        before: price of the signal behind the first candle.
    """

    def __init__(
        self,
        values: Floats,
        entries: Flags,
        exits: Flags,
        *,
        account: SimulatedAccount,
        stops: StopRules,
        before: float,
    ) -> None:
        self._open, self._high, self._low = values[:, 0], values[:, 1], values[:, 2]
        self._decided = np.concatenate(([before], values[:-1, 3]))
        self._entry_rows = np.flatnonzero(entries)
        self._exit_rows = np.flatnonzero(exits)
        self._account = account
        self._levels = StopLevels(stops, account.tick)
        self._end = len(values)
        self._ledger = _FillColumns()

    def run(self) -> Fills:
        """Walk to the end and return the fills."""
        row = 0
        while (entry := self._next(self._entry_rows, row)) < self._end:
            row = self._enter(entry)
        return self._ledger.fills()

    def _enter(self, row: int) -> int:
        """Enter at a row and follow the position; return the row from which to look again."""
        account = self._account
        done = account.buy(self._decided[row], float(self._open[row]))
        if done is None:
            return row + 1
        self._ledger.add(row, done, buy=True)
        price, armed = done.price, self._levels.rules.limited
        start = row
        while True:
            leave = self._next(self._exit_rows, start + 1)
            if armed:
                hit = self._first_stop(row, start, leave, price)
                if hit is not None:
                    at, level, reason, resting = hit
                    sold = account.sell(level, level, resting=resting)
                    if sold is not None:
                        self._ledger.add(at, sold, buy=False, reason=reason)
                        return at + 1
                    armed = False  # Too little to be sold: no stop can be placed for it.
            again = self._thin_entry(start + 1, leave)
            if again is not None:
                return again
            if leave >= self._end:
                return self._end
            sold = account.sell(self._decided[leave], float(self._open[leave]))
            if sold is not None:
                self._ledger.add(leave, sold, buy=False, reason=1)
                return leave + 1
            start = leave

    def _thin_entry(self, start: int, end: int) -> int | None:
        """Return the first entry in a stretch at which what is held may be too little to sell."""
        account = self._account
        if not account.least_value:
            return None
        first, last = np.searchsorted(self._entry_rows, (start, end))
        rows = self._entry_rows[first:last]
        thin = rows[account.held * self._decided[rows] < account.least_value]
        return int(thin[0]) if len(thin) else None

    def _next(self, rows: Rows, start: int) -> int:
        place = int(np.searchsorted(rows, start))
        return int(rows[place]) if place < len(rows) else self._end

    def _first_stop(
        self, entry: int, start: int, leave: int, price: float
    ) -> tuple[int, float, int, bool] | None:
        """Return row, price, reason and whether it rested, of the first stop before ``leave``.

        On the candle of the exit itself only a gap at its open comes first.
        """
        levels = self._levels
        fixed, target = levels.fixed(price), levels.target(price)
        trailing = levels.rules.trailing_stop is not None
        peak, length = price, _FIRST_LOOK
        if trailing and start > entry:
            peak = max(peak, float(self._high[entry:start].max()))
        last = min(leave + 1, self._end)
        while start < last:
            stop = min(start + length, last)
            low, high = self._low[start:stop].copy(), self._high[start:stop].copy()
            if stop == leave + 1:
                low[-1], high[-1] = self._open[leave], -np.inf
            level = np.full(stop - start, fixed)
            if trailing:
                peaks = np.maximum.accumulate(np.concatenate(([peak], self._high[start:stop])))
                peak = float(peaks[-1])
                level = levels.trail(fixed, peaks[:-1])
            hits = np.flatnonzero((low <= level) | (high >= target))
            if len(hits):
                place = int(hits[0])
                at = start + place
                if low[place] > level[place]:
                    return at, target, 4, True
                # On the candle of the entry the walk begins at its open: no gap is possible.
                opened = float(self._open[at]) if at > entry else np.inf
                reason = 2 if level[place] <= fixed else 3
                return at, min(float(level[place]), opened), reason, False
            start, length = stop, length * 4
        return None


def simulate(
    frame: pd.DataFrame,
    entries: Flags,
    exits: Flags,
    *,
    terms: Terms,
    stops: StopRules,
    before: float,
    freq_ms: int,
) -> BacktestRun:
    """Trade wishes over candles.

    Args:
        entries: candles at whose open an entry is due.
        exits: candles at whose open an exit is due; none is also an entry.
        before: price of the signal behind the first candle.
        freq_ms: length of a candle.
    """
    if terms.market is None and not stops.limited:
        decided = np.concatenate(([before], frame["close"].to_numpy()[:-1]))
        return _vectorised(frame, entries, exits, terms.sizes(decided), terms, freq_ms)
    values = frame[["open", "high", "low", "close"]].to_numpy(dtype=np.float64)
    account = terms.account()
    fills = FillSimulator(values, entries, exits, account=account, stops=stops, before=before).run()
    return BacktestRun(
        portfolio=_portfolio(frame, fills, terms.cash, freq_ms),
        fills=fills,
        refused=account.refused,
        levels=StopLevels(stops, account.tick) if stops.limited else None,
    )


def _vectorised(
    frame: pd.DataFrame,
    entries: Flags,
    exits: Flags,
    size: Floats | float,
    terms: Terms,
    freq_ms: int,
) -> BacktestRun:
    """Simulate market entries and exits in one call of vectorbt's kernel."""
    import pandas as pd

    from botlib.backtesting.vectorbt_setup import load_vectorbt

    portfolio = load_vectorbt().Portfolio.from_signals(
        frame["close"],
        entries,
        exits,
        price=frame["open"].to_numpy(),
        size=size,
        fees=terms.fee,
        slippage=terms.slippage,
        init_cash=terms.cash,
        freq=pd.Timedelta(freq_ms, unit="ms"),
    )
    records = portfolio.order_records
    buy = records["side"] == 0
    fills = Fills(
        row=records["idx"],
        buy=buy,
        price=records["price"],
        amount=records["size"],
        kept=np.where(buy, records["size"], 0.0),
        fee=records["fees"],
        reason=np.where(buy, 0, 1),
    )
    return BacktestRun(portfolio=portfolio, fills=fills, refused=0)


def _portfolio(frame: pd.DataFrame, fills: Fills, cash: float, freq_ms: int) -> Any:
    """Return a vectorbt ``Portfolio`` over fills.

    A fee taken from what was bought is booked as less bought and its value paid in cash, which
    leaves cash and position exactly as the venue does.
    """
    import pandas as pd

    from botlib.backtesting.vectorbt_setup import load_vectorbt

    vbt = load_vectorbt()
    enums = vbt.portfolio.enums
    records = np.zeros(len(fills), dtype=enums.order_dt)
    records["id"] = np.arange(len(fills))
    records["idx"] = fills.row
    records["size"] = np.where(fills.buy, fills.kept, fills.amount)
    records["price"] = fills.price
    records["fees"] = fills.fee
    records["side"] = np.where(fills.buy, 0, 1)
    close = frame["close"]
    wrapper = vbt.ArrayWrapper.from_obj(close, freq=pd.Timedelta(freq_ms, unit="ms"))
    return vbt.Portfolio(
        wrapper=wrapper,
        close=close,
        order_records=records,
        log_records=np.empty(0, dtype=enums.log_dt),
        init_cash=np.array([cash], dtype=np.float64),
        cash_sharing=False,
    )
