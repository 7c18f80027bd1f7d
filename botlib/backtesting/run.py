"""A backtest: a strategy over candles, as it would have traded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.account import PlainAccount, VenueAccount
from botlib.backtesting.levels import Stops
from botlib.backtesting.prepare import frames_for, next_open, wishes
from botlib.backtesting.result import BacktestResult
from botlib.backtesting.simulate import Simulation, vectorised, walk
from botlib.errors import InvalidInput
from botlib.timeframe import timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.prepare import Flags
    from botlib.exchange.base import Market
    from botlib.frames import Frames
    from botlib.strategy import Strategy


def backtest(
    strategy: Strategy,
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    symbol: str = "",
    fee: float = 0.001,
    slippage: float = 0.0,
    cash: float = 10_000.0,
    order_cost: float | None = None,
    market: Market | None = None,
    start: str | pd.Timestamp | None = None,
) -> BacktestResult:
    """Trade a strategy over candles and return what came of it.

    A wish decided on a closed candle is acted on at the open of the next one; one position at a
    time; an entry while one is held changes nothing; where entry and exit meet, the exit wins.
    ``stop_loss``, ``take_profit`` and ``trailing_stop`` of the strategy act inside the candles.

    Args:
        data: frames, one candle frame, or candle frames by timeframe.
        fee: fraction of the value of each fill.
        slippage: fraction by which market orders fill worse than the market's price.
        cash: quote units at the start.
        order_cost: quote units an entry may spend, as ``amount = order_cost / close of the signal's
            candle``; None spends all cash.
        market: how the venue trades the symbol: its lot, tick and least amounts are then applied,
            and amounts sized, exactly as in a live run. Without it any fraction can be traded.
        start: time from which to trade (UTC where it has no zone); candles before only warm up.

    Raises:
        InvalidInput: the candles cannot be used, or a number is out of range.
        ConfigError: the strategy's signals cannot be used.
    """
    check_numbers(fee=fee, slippage=slippage, cash=cash, order_cost=order_cost)
    frames = frames_for(strategy, data, symbol)
    entry, leave = wishes(strategy, frames)
    first = row_of(frames.frame, start)
    frame = frames.frame.iloc[first:] if first else frames.frame
    before = float(frames.frame["close"].iloc[max(first - 1, 0)])
    simulation = _simulate(
        frame,
        next_open(entry)[first:],
        next_open(leave)[first:],
        before=before,
        stops=stops_of(strategy),
        market=market,
        fee=fee,
        slippage=slippage,
        cash=cash,
        order_cost=order_cost,
        freq_ms=timeframe_ms(frames.timeframes[0]),
    )
    return BacktestResult(
        strategy=repr(strategy),
        symbol=symbol or frames.symbol or (market.symbol if market else ""),
        timeframe=frames.timeframes[0],
        frame=frame,
        simulation=simulation,
        cash=cash,
        fee=fee,
        slippage=slippage,
    )


def stops_of(strategy: Strategy) -> Stops:
    """Return the protective prices a strategy asks for."""
    return Stops(
        stop_loss=getattr(strategy, "stop_loss", None),
        take_profit=getattr(strategy, "take_profit", None),
        trailing_stop=getattr(strategy, "trailing_stop", None),
    )


def _simulate(
    frame: pd.DataFrame,
    entries: Flags,
    exits: Flags,
    *,
    before: float,
    stops: Stops,
    market: Market | None,
    fee: float,
    slippage: float,
    cash: float,
    order_cost: float | None,
    freq_ms: int,
) -> Simulation:
    if market is None and not stops:
        size: float | np.ndarray = math.inf
        if order_cost is not None:
            closes = frame["close"].to_numpy()
            size = order_cost / np.concatenate(([before], closes[:-1]))
        return vectorised(
            frame,
            entries,
            exits,
            size=size,
            fee=fee,
            slippage=slippage,
            cash=cash,
            freq_ms=freq_ms,
        )
    account: PlainAccount | VenueAccount
    if market is None:
        account = PlainAccount(cash=cash, order_cost=order_cost, fee=fee, slippage=slippage)
    else:
        account = VenueAccount(market, cash=cash, order_cost=order_cost, fee=fee, slippage=slippage)
    return walk(
        frame,
        entries,
        exits,
        account=account,
        stops=stops,
        before=before,
        cash=cash,
        freq_ms=freq_ms,
    )


def row_of(frame: pd.DataFrame, start: str | pd.Timestamp | None) -> int:
    """Return the row of the first candle from a time on, 0 for None.

    Raises:
        InvalidInput: it is no time, or leaves fewer than two candles.
    """
    if start is None:
        return 0
    import pandas as pd

    try:
        moment = pd.Timestamp(start)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"Cannot read start={start!r} as a time. Accepted: '2024-12-01' or a Timestamp."
        ) from None
    if moment.tzinfo is not None:
        moment = moment.tz_convert("UTC").tz_localize(None)
    row = int(frame.index.searchsorted(moment))
    if row > len(frame) - 2:
        raise InvalidInput(
            f"start={start!r} leaves no candles to trade on: the last one is {frame.index[-1]}."
        )
    return row


def check_numbers(*, fee: float, slippage: float, cash: float, order_cost: float | None) -> None:
    """Raise `InvalidInput` unless fee and slippage are fractions, and the amounts above 0."""
    for name, value in (("fee", fee), ("slippage", slippage)):
        if not 0 <= value < 1:
            raise InvalidInput(f"{name} is a fraction from 0 to below 1, not {value!r}.")
    for name, amount in (("cash", cash), ("order_cost", order_cost)):
        if amount is not None and not (0 < amount < math.inf):
            raise InvalidInput(f"{name} must be a positive number of quote units, not {amount!r}.")
