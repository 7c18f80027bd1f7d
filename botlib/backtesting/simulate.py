"""The simulation of fills: entries and exits become fills, stop by stop if there are stops.

Rules, the same as those of the paper exchange:

* A signal is acted on at the open of the next candle.
* A stop or target that lies inside a candle is filled at its own price. A candle that opens beyond
  the stop fills at the open. A target is a resting order: it is filled at its own price, never
  better.
* If one candle reaches both the stop and the target, the one that comes first on its path sells:
  from the open to the nearer extreme, to the other, to the close (`botlib.trading.candle_path`). A
  paper exchange whose own candles are shorter moves along the path of those.
* A stop or target applies from the fill of the entry, the rest of that candle included.
* A trailing stop follows the highest high of the candles that closed since the entry, so it moves
  when a candle closes, never inside one.
* No fill takes more of a candle's volume than the costs say. An entry then buys less; what an exit,
  stop or target leaves is sold at the opens of the next candles.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from botlib.backtesting.account import SimulatedAccount, SimulatedFill
from botlib.backtesting.costs import CandleLiquidity
from botlib.backtesting.kernel import Records, SimulationKernel, load_kernel
from botlib.backtesting.limits import EntryLimits
from botlib.backtesting.metrics import Floats
from botlib.core.errors import InvalidInput
from botlib.frames import COLUMNS
from botlib.frames.frame import open_times
from botlib.trading.candle_path import stop_first
from botlib.trading.stops import StopLevels, StopRules

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.inputs import Flags
    from botlib.backtesting.terms import Terms

Rows = npt.NDArray[np.int64]

REASONS = ("", "exit", "stop_loss", "trailing_stop", "take_profit")
"""The reasons of a sale; the empty one stands for a purchase."""

_FIRST_SEARCH = 64
"""Candles searched for a stop at first; each further search is four times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """The fills of a simulation as arrays of one element per fill, in order.

    Attributes:
        row: position of the candle in the frame.
        amount: base units bought or sold.
        kept: base units bought net of a fee taken from them, 0 for a sale.
        fee: quote units.
        reason: position in `REASONS`.
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

    Attributes:
        refused: entries and exits that the venue, or the limits, would have refused.
        cut: fills that were smaller than wanted, since a candle had too little volume.
        freq_ms: length of a candle.
        levels: the stops and targets of its positions; None without any.
    """

    fills: Fills
    refused: int
    freq_ms: int
    cut: int = 0
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


class SimulatedCandles(NamedTuple):
    """The candles of a simulation, one array per column; ``times`` are open times in ms."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    times: Rows

    @classmethod
    def of(cls, frame: pd.DataFrame, first: int = 0) -> SimulatedCandles:
        """Return the candles of a frame from a row on, without a copy."""
        opens, high, low, close, volume = (
            frame[name].to_numpy(dtype=np.float64)[first:] for name in COLUMNS
        )
        return cls(opens, high, low, close, volume, open_times(frame.index)[first:])

    def swing(self, rows: Rows) -> Floats:
        """Return the range of candles as fractions of their opens."""
        swing: Floats = (self.high[rows] - self.low[rows]) / self.open[rows]
        return swing

    def liquidity(self, row: int) -> CandleLiquidity:
        """Return what a candle offers to a fill."""
        swing = (self.high.item(row) - self.low.item(row)) / self.open.item(row)
        return CandleLiquidity(swing, self.volume.item(row))


class FillSimulator:
    """The simulation of an account with stops, a market or limits, position by position.

    Args:
        entries: candles at whose open an entry is due.
        exits: candles at whose open an exit is due; none is also an entry.
        before: close of the candle before the first, at which a first entry was decided.
        limits: what may be risked; None is no limit.
    """

    def __init__(
        self,
        candles: SimulatedCandles,
        entries: Flags,
        exits: Flags,
        *,
        account: SimulatedAccount,
        stops: StopRules,
        before: float,
        limits: EntryLimits | None = None,
    ) -> None:
        self._candles = candles
        self._open, self._high, self._low = candles.open, candles.high, candles.low
        self._times = candles.times
        self._decided = np.concatenate(([before], candles.close[:-1]))
        self._entry_rows = np.flatnonzero(entries)
        self._exit_rows = np.flatnonzero(exits)
        self._entry_list: list[int] = self._entry_rows.tolist()
        self._exit_list: list[int] = self._exit_rows.tolist()
        self._account = account
        self._limits = limits
        self._levels = StopLevels(stops, account.tick)
        self._end = len(candles.open)
        self._fills = _FillColumns()

    def run(self) -> Fills:
        """Simulate all candles and return the fills."""
        row = 0
        while (entry := self._next(self._entry_list, row)) < self._end:
            row = self._enter(entry)
        return self._fills.fills()

    def _enter(self, row: int) -> int:
        """Enter at a row and follow the position; return the row from which the next may begin."""
        account, decided = self._account, self._decided.item(row)
        if self._limits and self._limits.refuses(row, decided, account, self._fills.rows):
            account.refused += 1
            return row + 1
        done = account.buy(decided, self._open.item(row), self._candles.liquidity(row))
        if done is None:
            return row + 1
        self._fills.add(row, done, buy=True)
        price, armed = done.price, self._levels.rules.limited
        start = row
        while True:
            leave = self._next(self._exit_list, start + 1)
            if armed:
                hit = self._first_stop(row, start, leave, price)
                if hit is not None:
                    at, level, reason, resting = hit
                    left = self._sell(at, level, level, reason, resting=resting)
                    if left is not None:
                        return left
                    armed = False  # The venue takes no stop for an amount too small to sell.
            again = self._next_addition(start + 1, leave)
            if again is not None:
                return again
            if leave >= self._end:
                return self._end
            left = self._sell(leave, self._decided.item(leave), self._open.item(leave), 1)
            if left is not None:
                return left
            start = leave

    def _sell(
        self, row: int, signal_price: float, price: float, reason: int, *, resting: bool = False
    ) -> int | None:
        """Sell at a row, and what its candle has no volume for at the opens of the next ones.

        Returns:
            The row from which the next position may begin; None if nothing can be sold.
        """
        account = self._account
        sold = account.sell(signal_price, price, self._candles.liquidity(row), resting=resting)
        if sold is None and not account.owing:
            return None
        while True:
            if sold is not None:
                self._fills.add(row, sold, buy=False, reason=reason)
            row += 1
            if not account.owing or row >= self._end:
                return row
            sold = account.sell(
                self._decided.item(row), self._open.item(row), self._candles.liquidity(row)
            )

    def _next_addition(self, start: int, end: int) -> int | None:
        """Return the first entry at which what is held may be too little to sell, or None.

        The position may have lost so much that the venue counts it as dust: it is added to.
        """
        account = self._account
        if not account.least_value:
            return None
        first, last = (bisect_left(self._entry_list, row) for row in (start, end))
        if first == last:
            return None
        rows = self._entry_rows[first:last]
        small = rows[account.held * self._decided[rows] < account.least_value]
        return int(small[0]) if len(small) else None

    def _next(self, rows: list[int], start: int) -> int:
        place = bisect_left(rows, start)
        return rows[place] if place < len(rows) else self._end

    def _first_stop(
        self, entry: int, start: int, leave: int, price: float
    ) -> tuple[int, float, int, bool] | None:
        """Return the first stop or target that is hit until the exit at row ``leave``.

        On the candle of the exit itself only what its open reaches comes first.

        Returns:
            Row, price, place in `REASONS`, and whether the order rested; None if none is hit.
        """
        levels = self._levels
        fixed, target = levels.fixed(price), levels.target(price)
        trailing = levels.rules.trailing_stop is not None
        peak, length = price, _FIRST_SEARCH
        if trailing and start > entry:
            peak = max(peak, float(self._high[entry:start].max()))
        last = min(leave + 1, self._end)
        while start < last:
            stop = min(start + length, last)
            low, high = self._low[start:stop], self._high[start:stop]
            if stop == leave + 1:
                low, high = low.copy(), high.copy()
                low[-1] = high[-1] = self._open[leave]
            level: Floats | float = fixed
            if trailing:
                peaks = np.empty(stop - start + 1)
                peaks[0], peaks[1:] = peak, self._high[start:stop]
                np.maximum.accumulate(peaks, out=peaks)
                peak = peaks.item(-1)
                level = levels.trail(fixed, peaks[:-1])
            hit = (low <= level) | (high >= target)
            place = int(hit.argmax())
            if hit[place]:
                at = start + place
                opened = self._open.item(at)
                sold = level if isinstance(level, float) else level.item(place)
                candle = opened, float(high[place]), float(low[place]), int(self._times[at])
                if not stop_first(*candle, stop=sold, target=target):
                    return at, target, 4, True
                return at, min(sold, opened), 2 if sold <= fixed else 3, False
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
    symbol: str = "",
) -> BacktestRun:
    """Simulate entries and exits over candles.

    Args:
        entries: candles at whose open an entry is due.
        exits: candles at whose open an exit is due; none is also an entry.
        before: close of the candle before the first, at which a first entry was decided.
        freq_ms: length of a candle.
        stops: the stops and targets of every position.
        symbol: what is traded, for limits that name symbols.

    Raises:
        InvalidInput: fills are limited by a volume that no candle has.
    """
    candles = SimulatedCandles.of(frame)
    if terms.vectorised and not stops.limited:
        found = market_orders(load_kernel(), entries, exits, candles, terms=terms, before=before)
        if found is not None:
            return BacktestRun(fills=_fills(*found), refused=0, freq_ms=freq_ms)
    fills, account = account_fills(
        candles, entries, exits, terms=terms, stops=stops, before=before, symbol=symbol
    )
    return BacktestRun(
        fills=fills,
        refused=account.refused,
        cut=account.cut,
        freq_ms=freq_ms,
        levels=StopLevels(stops, account.tick) if stops.limited else None,
    )


def account_fills(
    candles: SimulatedCandles,
    entries: Flags,
    exits: Flags,
    *,
    terms: Terms,
    stops: StopRules,
    before: float,
    symbol: str = "",
) -> tuple[Fills, SimulatedAccount]:
    """Return the fills of an account, position by position, and the account at the end.

    Raises:
        InvalidInput: fills are limited by a volume that no candle has.
    """
    if terms.costs.volume_share is not None and not candles.volume.any():
        raise InvalidInput(
            f"A fill takes at most {terms.costs.volume_share:g} of its candle's volume, and the "
            "volume of every candle is 0. Pass costs=bl.Costs(volume_share=None) if it is unknown."
        )
    account, limits = terms.account(), None
    if terms.limits is not None:
        limits = EntryLimits(
            terms.limits,
            times=candles.times,
            closes=candles.close,
            cash=terms.cash,
            symbol=symbol or (terms.market.symbol if terms.market else ""),
        )
    simulator = FillSimulator(
        candles, entries, exits, account=account, stops=stops, before=before, limits=limits
    )
    return simulator.run(), account


def market_orders(
    kernel: SimulationKernel,
    entries: Flags,
    exits: Flags,
    candles: SimulatedCandles,
    *,
    terms: Terms,
    before: float,
) -> tuple[Records, Rows] | None:
    """Return the orders of market entries and exits, and the candles that their rows refer to.

    Nothing changes on a candle without a signal. The kernel therefore gets only the candles with
    one, those after them (on which it rounds tiny remainders of cash to 0), the first and the last.

    Args:
        before: close of the candle before the first.

    Returns:
        None if an order takes more of a candle's volume than is allowed, which the kernel does not
        know.
    """
    rows, costs = relevant_rows(entries | exits), terms.costs
    decided = np.where(rows > 0, candles.close[rows - 1], before)
    orders = kernel.orders(
        entries[rows],
        exits[rows],
        candles.open[rows],
        candles.close[rows],
        size=terms.sizes(decided),
        fee=costs.taker,
        slippage=costs.fixed if costs.fixed is not None else costs.of_rows(candles.swing(rows)),
        cash=terms.cash,
    )
    if costs.volume_share is not None:
        volume = candles.volume[rows[orders["idx"]]]
        if (orders["size"] > costs.volume_share * volume).any():
            return None
    return orders, rows


def relevant_rows(touched: Flags) -> Rows:
    """Return the touched rows, those after them, the first and the last."""
    rows = touched.copy()
    rows[1:] |= touched[:-1]
    rows[0] = rows[-1] = True
    return np.flatnonzero(rows)


def _fills(orders: Records, rows: Rows) -> Fills:
    buy = orders["side"] == 0
    amount = np.ascontiguousarray(orders["size"])
    return Fills(
        row=rows[orders["idx"]],
        buy=buy,
        price=np.ascontiguousarray(orders["price"]),
        amount=amount,
        kept=np.where(buy, amount, 0.0),
        fee=np.ascontiguousarray(orders["fees"]),
        reason=np.where(buy, 0, 1),
    )


def portfolio_of(frame: pd.DataFrame, fills: Fills, cash: float, freq_ms: int) -> Any:
    """Return a vectorbt ``Portfolio`` over fills, which imports vectorbt.

    vectorbt knows fees in cash only. A fee taken from the amount bought is booked as a smaller
    purchase plus the fee's value in cash, which leaves cash and position exactly as the venue does.
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
