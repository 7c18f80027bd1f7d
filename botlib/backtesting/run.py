"""A backtest: the trades a strategy would have made over candles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from botlib.backtesting.arguments import checked
from botlib.backtesting.experiments.recording import Book, record_backtest
from botlib.backtesting.inputs import entries_and_exits, frames_for, next_open
from botlib.backtesting.result import BacktestResult
from botlib.backtesting.simulate import simulate
from botlib.backtesting.terms import Terms
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.received import short
from botlib.core.timeframe import timeframe_ms
from botlib.strategy import strategy_object
from botlib.trading.stops import StopRules

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
    from botlib.core.market import Market
    from botlib.frames import Frames
    from botlib.strategy import Strategy
    from botlib.trading.risk import RiskLimits


@checked
def backtest(
    strategy: Strategy,
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    symbol: str = "",
    costs: Costs | None = None,
    fee: float | None = None,
    slippage: float | RangeSlippage | VolumeSlippage | None = None,
    cash: float = 10_000.0,
    order_cost: float | Literal["all"] | None = None,
    market: Market | None = None,
    limits: RiskLimits | None = None,
    start: str | pd.Timestamp | None = None,
    book: Book = None,
) -> BacktestResult:
    """Run a strategy over candles and return the result.

    A signal decided on a closed candle is acted on at the open of the next one. There is one
    position at a time: an entry while one is held changes nothing. If entry and exit meet, the exit
    wins.
    ``stop_loss``, ``take_profit`` and ``trailing_stop`` of the strategy act inside the candles.

    Args:
        data: frames, one candle frame, or candle frames by timeframe.
        costs: fees, spread, slippage and the share of a candle's volume that a fill takes; None is
            the default of `Costs`, which says where its numbers come from.
        fee: fraction of the value of each fill, in place of those of ``costs``.
        slippage: fraction by which orders at the market fill worse, or a model of it, in place of
            spread and slippage of ``costs``.
        cash: quote units at the start.
        order_cost: quote units an entry may spend, as ``amount = order_cost / close of the signal's
            candle``. None is what ``bot.trade`` spends: half of ``max_order_cost``, 1,000 without
            limits. ``"all"`` spends all cash, so that profits are traded again.
        market: how the venue trades the symbol: its lot, tick and least amounts are then applied,
            and amounts sized, exactly as in a live run. Without it any fraction can be traded.
        limits: what may be risked, such as ``bl.RiskLimits(...)``: entries beyond it are refused,
            and halts hold until the next UTC day, after a drawdown until the end.
        start: time from which to trade (UTC if it has no zone); candles before only warm up.
        book: the experiment book to write the run into, or the data directory that has it; None
            writes nothing. A lab and a bot write into that of their data directory.

    Raises:
        InvalidInput: the candles cannot be used, or a number is out of range.
        ConfigError: the strategy's signals cannot be used.
    """
    strategy = strategy_object(strategy, "backtest")
    check_learned(strategy)
    terms = Terms.of(
        costs=costs,
        fee=fee,
        slippage=slippage,
        cash=cash,
        order_cost=order_cost,
        market=market,
        limits=limits,
    )
    result = run_backtest(strategy, data, terms, symbol=symbol, start=start)
    record_backtest(book, strategy, result)
    return result


def run_backtest(
    strategy: Strategy,
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    terms: Terms,
    *,
    symbol: str = "",
    start: str | pd.Timestamp | None = None,
) -> BacktestResult:
    """Run a backtest on given terms; everything else is as for `backtest`."""
    frames = frames_for(strategy, data, symbol)
    entry, leave = entries_and_exits(strategy, frames)
    first = row_of(frames.frame, start)
    check_unseen(strategy, frames.frame.index[first])
    frame = frames.frame.iloc[first:] if first else frames.frame
    simulation = simulate(
        frame,
        next_open(entry)[first:],
        next_open(leave)[first:],
        terms=terms,
        stops=StopRules.of(strategy),
        before=float(frames.frame["close"].iloc[max(first - 1, 0)]),
        freq_ms=timeframe_ms(frames.timeframes[0]),
        symbol=symbol or frames.symbol,
    )
    return BacktestResult(
        strategy=repr(strategy),
        symbol=symbol or frames.symbol or (terms.market.symbol if terms.market else ""),
        timeframe=frames.timeframes[0],
        frame=frame,
        simulation=simulation,
        terms=terms,
    )


def check_learned(strategy: Strategy) -> None:
    """Check that a strategy that learns has learned.

    Raises:
        ConfigError: it has not.
    """
    name = type(strategy).__name__
    if strategy.learns and strategy.training is None:
        raise ConfigError(
            f"{name} learns from candles (it defines fit), and has not yet. walk_forward and "
            "cross_validate have it learn on training candles only; for one backtest use "
            f"strategy = {name}(...).fitted(frames), with frames that end before start=."
        )


def check_unseen(strategy: Strategy, first: pd.Timestamp) -> None:
    """Check that the first candle that is traded comes after those a strategy has learned from.

    Raises:
        InvalidInput: it has learned from that candle or from later ones.
    """
    training = strategy.training
    if training is not None and first <= training.last:
        raise InvalidInput(
            f"{type(strategy).__name__} has learned from {training}, and would trade candles it "
            f"knows from {first} on. Give a start= after {training.last}, or let it learn from "
            "earlier candles."
        )


def row_of(frame: pd.DataFrame, start: str | pd.Timestamp | None) -> int:
    """Return the row of the first candle that opens at or after a time, 0 for None.

    Raises:
        InvalidInput: ``start`` is no time, or leaves fewer than two candles.
    """
    if start is None:
        return 0
    import pandas as pd

    try:
        moment = pd.Timestamp(start)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"Cannot read start={short(start)} as a time. Accepted: '2024-12-01' or a Timestamp."
        ) from None
    if moment.tzinfo is not None:
        moment = moment.tz_convert("UTC").tz_localize(None)
    row = int(frame.index.searchsorted(moment))
    if row > len(frame) - 2:
        raise InvalidInput(
            f"start={start!r} leaves no candles to trade on: the last one is {frame.index[-1]}."
        )
    return row
