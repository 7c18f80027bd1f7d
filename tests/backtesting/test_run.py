"""Backtests: rules of filling, sizing and stops, figures beside vectorbt's, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import BacktestResult, backtest
from botlib.backtesting.vectorbt_setup import load_vectorbt
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.market import Market
from botlib.frames import Frames, candle_frame, resample
from botlib.strategies import TrendCross, TrendPullback
from botlib.strategy import Signals, Strategy

MINUTE = 60_000
BTC = Market(
    symbol="BTC/USDT",
    id="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.01"),
    step=Decimal("0.00001"),
    min_amount=Decimal("0.00001"),
    min_cost=Decimal(5),
)


class Scripted(Strategy):
    """Says what it is told to: entries and exits by candle."""

    timeframes = ("1m",)
    entries: tuple[int, ...] = ()
    exits: tuple[int, ...] = ()

    def signals(self, data: Frames) -> Signals:
        rows = pd.Series(np.arange(len(data.frame)), index=data.frame.index)
        return Signals(entry=rows.isin(self.entries), exit=rows.isin(self.exits))


def candles(*rows: tuple[float, float, float, float]) -> pd.DataFrame:
    return candle_frame(np.arange(len(rows)) * MINUTE, [[*row, 1.0] for row in rows])


def flat(*opens: float) -> pd.DataFrame:
    """Candles that open at the prices given and close where the next one opens."""
    closes = [*opens[1:], opens[-1]]
    return candles(*((o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=True)))


def wandering(rows: int, seed: int = 0, step: float = 2e-3, gap: float = 0.0) -> pd.DataFrame:
    """A random market in cents; with ``gap`` candles do not open where the last one closed."""
    random = np.random.default_rng(seed)
    path = 20_000 * np.exp(np.cumsum(random.normal(0, step, rows + 1)))
    opens, closes = path[:-1] * np.exp(random.normal(0, gap, rows)), path[1:]
    high = np.maximum(opens, closes) * (1 + np.abs(random.normal(0, step / 2, rows)))
    low = np.minimum(opens, closes) * (1 - np.abs(random.normal(0, step / 2, rows)))
    values = np.round(np.column_stack([opens, high, low, closes]), 2)
    return candle_frame(np.arange(rows) * MINUTE, np.column_stack([values, np.ones(rows)]))


def trip(result: BacktestResult, number: int = 0) -> Any:
    return result.roundtrips.iloc[number]


def test_a_wish_is_acted_on_at_the_next_open() -> None:
    result = backtest(Scripted(entries=(1,), exits=(3,)), flat(10, 11, 12, 13, 14, 15), fee=0)
    only = trip(result)
    assert (only["entry_price"], only["exit_price"]) == (12.0, 14.0)
    assert only["entry_time"] == pd.Timestamp("1970-01-01 00:02")
    assert only["exit_time"] == pd.Timestamp("1970-01-01 00:04")
    assert only["reason"] == "exit" and only["candles"] == 2
    assert result.equity.iloc[-1] == pytest.approx(10_000 * 14 / 12)


def test_fees_are_paid_per_side_and_slippage_is_against_us() -> None:
    result = backtest(
        Scripted(entries=(1,), exits=(3,)),
        flat(10, 11, 12, 13, 14, 15),
        fee=0.01,
        slippage=0.5,
        order_cost=1_100,
    )
    only = trip(result)
    assert only["entry_price"] == 18.0 and only["exit_price"] == 7.0
    assert only["amount"] == pytest.approx(1_100 / 12)  # sized by the close of the signal's candle
    assert only["entry_fee"] == pytest.approx(only["amount"] * 18 * 0.01)
    assert only["exit_fee"] == pytest.approx(only["amount"] * 7 * 0.01)
    assert only["pnl"] == pytest.approx(result.equity.iloc[-1] - 10_000)


def test_an_exit_wins_over_an_entry_and_a_second_entry_changes_nothing() -> None:
    prices = flat(10, 11, 12, 13, 14, 15, 16)
    result = backtest(Scripted(entries=(1, 2, 3), exits=(3,)), prices)
    assert len(result.roundtrips) == 1
    assert trip(result)["exit_price"] == 14.0


def test_a_wish_on_the_last_candle_is_not_acted_on() -> None:
    result = backtest(Scripted(entries=(3,)), flat(10, 11, 12, 13))
    assert len(result.roundtrips) == 0 and math.isnan(result.stats()["win_rate"])
    assert "0 round trips" in repr(result)


def test_a_position_still_open_is_valued_at_the_last_close() -> None:
    result = backtest(Scripted(entries=(0,)), flat(10, 10, 12), fee=0)
    assert trip(result)["reason"] == "open" and pd.isna(trip(result)["exit_time"])
    assert trip(result)["pnl"] == pytest.approx(2_000)
    assert result.stats()["open"] == 1 and result.stats()["round_trips"] == 0


def test_nothing_is_traded_while_it_warms_up_or_before_the_start() -> None:
    class Eager(Scripted):
        @property
        def warmup(self) -> int:
            return 4

    prices = flat(*range(10, 20))
    assert trip(backtest(Eager(entries=tuple(range(10))), prices))["entry_price"] == 14.0
    result = backtest(Scripted(entries=(0, 1, 5)), prices, start="1970-01-01 00:03")
    assert result.frame.index[0] == pd.Timestamp("1970-01-01 00:03")
    assert trip(result)["entry_price"] == 16.0
    # The candle before the start may already wish for what is done at the start.
    result = backtest(Scripted(entries=(2,)), prices, start="1970-01-01T02:03+02:00")
    assert trip(result)["entry_price"] == 13.0


# -- stops

HELD = (100.0, 101.0, 99.0, 100.0)


@pytest.mark.parametrize(
    ("stops", "candle", "price", "reason"),
    [
        ({"stop_loss": 0.05}, (100, 100, 94, 99), 95.0, "stop_loss"),
        ({"stop_loss": 0.05}, (100, 100, 95, 99), 95.0, "stop_loss"),
        ({"stop_loss": 0.05}, (93, 97, 92, 96), 93.0, "stop_loss"),  # opens beyond it
        ({"take_profit": 0.05}, (100, 106, 99, 104), 105.0, "take_profit"),
        ({"take_profit": 0.05}, (107, 108, 106, 107), 105.0, "take_profit"),  # it rests there
        ({"stop_loss": 0.05, "take_profit": 0.05}, (100, 106, 94, 100), 95.0, "stop_loss"),
        ({"trailing_stop": 0.05}, (100, 100, 95.9, 99), 101 * 0.95, "trailing_stop"),
        # The peak of this very candle does not count: it has not closed.
        ({"trailing_stop": 0.05}, (100, 110, 96, 100), None, "open"),
        ({"trailing_stop": 0.05, "stop_loss": 0.02}, (100, 100, 95, 99), 98.0, "stop_loss"),
    ],
)
@pytest.mark.parametrize("market", [None, BTC])
def test_stops_act_inside_the_candle(
    stops: dict[str, float],
    candle: tuple[float, float, float, float],
    price: float | None,
    reason: str,
    market: Market | None,
) -> None:
    frame = candles(HELD, HELD, candle, candle)
    result = backtest(
        Scripted(entries=(0,), **stops), frame.iloc[:3], fee=0, market=market, order_cost=1_000
    )
    only = trip(result)
    assert only["reason"] == reason
    if price is not None:
        assert only["exit_price"] == pytest.approx(price, abs=0.01 if market else 1e-9)
        assert only["exit_time"] == frame.index[2]


def test_a_stop_is_in_force_in_the_candle_of_the_entry() -> None:
    frame = candles(HELD, (100.0, 100.0, 90.0, 95.0), HELD)
    only = trip(backtest(Scripted(entries=(0,), stop_loss=0.05), frame, fee=0))
    assert only["exit_price"] == 95.0 and only["candles"] == 0


def test_an_exit_comes_before_what_its_candle_does_later() -> None:
    frame = candles(HELD, HELD, (100.0, 100.0, 50.0, 60.0))
    only = trip(backtest(Scripted(entries=(0,), exits=(1,), stop_loss=0.05), frame, fee=0))
    assert (only["exit_price"], only["reason"]) == (100.0, "exit")


def test_a_stop_is_sold_at_the_market_with_slippage_and_a_target_is_not() -> None:
    frame = candles(HELD, HELD, (100.0, 100.0, 50.0, 60.0))
    only = trip(backtest(Scripted(entries=(0,), stop_loss=0.05), frame, slippage=0.1))
    assert only["exit_price"] == pytest.approx(110 * 0.95 * 0.9)
    frame = candles(HELD, HELD, (100.0, 150.0, 99.0, 120.0))
    only = trip(backtest(Scripted(entries=(0,), take_profit=0.05), frame, slippage=0.1))
    assert only["exit_price"] == pytest.approx(110 * 1.05)


def test_it_enters_again_after_a_stop() -> None:
    frame = candles(HELD, HELD, (100.0, 100.0, 90.0, 95.0), HELD, HELD)
    result = backtest(Scripted(entries=(0, 2), stop_loss=0.05), frame)
    assert result.roundtrips["candles"].tolist() == [1, 2]
    assert result.roundtrips["reason"].tolist() == ["stop_loss", "open"]


def reference(
    frame: pd.DataFrame, entries: set[int], exits: set[int], **stops: float
) -> list[tuple[int, float, int, float, str]]:
    """The same rules, written as plainly as possible: candle by candle."""
    trips, held = [], None
    rows = frame[["open", "high", "low", "close"]].to_numpy()
    for row, (opened, high, low, _) in enumerate(rows):
        entry, leave = row - 1 in entries and row - 1 not in exits, row - 1 in exits
        if held is None and entry:
            held = (row, opened)
            fixed = opened * (1 - stops["stop_loss"]) if "stop_loss" in stops else -math.inf
            target = opened * (1 + stops["take_profit"]) if "take_profit" in stops else math.inf
            peak = opened
        elif held is None:
            continue
        level = fixed
        if "trailing_stop" in stops:
            level = max(level, peak * (1 - stops["trailing_stop"]))
        out: tuple[float, str] | None = None
        if row > held[0] and opened <= level:
            out = opened, "stop"
        elif leave:
            out = opened, "exit"
        elif low <= level:
            out = level, "stop"
        elif high >= target:
            out = target, "take_profit"
        if out is not None:
            trips.append((*held, row, *out))
            held = None
        peak = max(peak, high)
    return trips


@pytest.mark.parametrize("width", [1.0, 8.0])  # the wide ones hold for hundreds of candles
@pytest.mark.parametrize("seed", range(10))
def test_stops_agree_with_a_plain_reading_of_the_rules(seed: int, width: float) -> None:
    random = np.random.default_rng(seed)
    rows = int(1_500 * width)
    frame = wandering(rows, seed, gap=1e-3)
    entries = set(random.choice(rows - 1, 60, replace=False).tolist())
    exits = set(random.choice(rows - 1, 20, replace=False).tolist())
    every = {"stop_loss": 0.01, "take_profit": 0.012, "trailing_stop": 0.008}
    every = {name: value * width for name, value in every.items()}
    stops = {name: value for name, value in every.items() if random.random() < 0.7}
    strategy = Scripted(entries=tuple(entries), exits=tuple(exits), **stops)
    got = backtest(strategy, frame, fee=0).roundtrips.query("reason != 'open'")
    wanted = reference(frame, entries, exits, **stops)
    assert len(got) == len(wanted) > 10
    for one, (entry, paid, leave, price, reason) in zip(
        got.to_dict("records"), wanted, strict=True
    ):
        assert one["entry_time"] == frame.index[entry] and one["exit_time"] == frame.index[leave]
        assert one["entry_price"] == paid
        assert one["exit_price"] == pytest.approx(price, rel=1e-12)
        assert reason in one["reason"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:vectorbt")
def test_a_stop_that_is_never_reached_changes_nothing() -> None:
    frame = wandering(3_000)
    plain = backtest(TrendCross(timeframes=("1m",)), frame)
    stopped = backtest(TrendCross(timeframes=("1m",), stop_loss=0.99), frame)
    assert len(plain.roundtrips) > 20
    pd.testing.assert_frame_equal(plain.roundtrips, stopped.roundtrips, rtol=1e-9)
    np.testing.assert_allclose(plain.equity, stopped.equity, rtol=1e-9)


# -- the venue's filters


def test_amounts_are_sized_and_fees_taken_as_the_venue_does() -> None:
    frame = flat(30_000.0, 30_000.0, 30_011.37, 31_000.0, 31_000.01, 31_000.0)
    result = backtest(
        Scripted(entries=(1,), exits=(3,)), frame, order_cost=1_000, market=BTC, fee=0.00113
    )
    only = trip(result)
    amount = Decimal("0.03332")  # 1000 / 30011.37 in steps of 0.00001
    fee = Decimal("0.00003765")  # 0.0000376516, taken from the coins, to eight decimals
    kept = amount - fee
    sold = Decimal("0.03328")  # what is kept, in whole steps
    assert only["amount"] == float(amount) and only["sold"] == float(sold)
    assert only["entry_fee"] == float(fee * Decimal("30011.37"))
    assert only["exit_fee"] == pytest.approx(float(sold) * 31_000.01 * 0.00113, abs=1e-8)
    cost = float(amount) * 30_011.37 * float(sold / kept)  # the dust keeps its own
    assert only["pnl"] == pytest.approx(float(sold) * 31_000.01 - only["exit_fee"] - cost)
    dust = float(kept - sold)
    cash = 10_000 - float(amount) * 30_011.37 + float(sold) * 31_000.01 - only["exit_fee"]
    assert result.equity.iloc[-1] == pytest.approx(cash + dust * 31_000, abs=1e-7)
    assert result.portfolio.assets().iloc[-1] == pytest.approx(dust, abs=1e-12)
    assert result.stats()["exposure"] == pytest.approx(2 / 6)  # dust is no position


def test_what_the_venue_would_refuse_is_refused() -> None:
    frame = flat(*[30_000.0] * 6)
    small = backtest(Scripted(entries=(1,)), frame, order_cost=4.9, market=BTC)
    assert len(small.roundtrips) == 0 and small.refused == 1
    poor = backtest(Scripted(entries=(1,)), frame, order_cost=1_000, cash=900, market=BTC)
    assert len(poor.roundtrips) == 0 and poor.refused == 1
    rich = backtest(Scripted(entries=(1,)), frame, cash=900, market=BTC)  # all cash
    assert trip(rich)["amount"] == 0.03


def test_slippage_lands_on_ticks() -> None:
    frame = flat(*[30_000.01] * 6)
    result = backtest(
        Scripted(entries=(1,), exits=(3,)), frame, order_cost=100, market=BTC, slippage=0.0001
    )
    assert trip(result)["entry_price"] == 30_003.02  # 30003.010001 up
    assert trip(result)["exit_price"] == 29_997.0  # 29997.009999 down


def test_a_position_that_became_too_small_to_sell_is_added_to() -> None:
    # 10 quote units fall to 4: no exit is possible, and the next entry adds to it.
    frame = flat(100.0, 100.0, 100.0, 40.0, 40.0, 40.0, 100.0, 100.0, 100.0)
    result = backtest(
        Scripted(entries=(0, 4), exits=(3, 6)), frame, order_cost=10, market=BTC, fee=0
    )
    only = trip(result)
    assert result.refused == 1 and len(result.roundtrips) == 1
    assert only["amount"] == pytest.approx(0.1 + 0.25)
    assert only["entry_price"] == pytest.approx((0.1 * 100 + 0.25 * 40) / 0.35)
    assert only["sold"] == 0.35 and only["pnl"] == pytest.approx(35 - 20)


@pytest.mark.parametrize("seed", range(5))
def test_the_venue_account_never_sells_what_it_does_not_have(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = wandering(2_000, seed, step=1e-2)
    strategy = Scripted(
        entries=tuple(random.choice(1_999, 300, replace=False).tolist()),
        exits=tuple(random.choice(1_999, 300, replace=False).tolist()),
        stop_loss=0.03,
        trailing_stop=0.03,
    )
    result = backtest(strategy, frame, market=BTC, order_cost=float(random.uniform(6, 50)))
    held = np.cumsum(np.where(result.fills.buy, result.fills.kept, -result.fills.amount))
    assert len(held) > 100 and held.min() > -1e-12
    np.testing.assert_allclose(result.portfolio.value(), result.equity, rtol=1e-12)
    trips = result.roundtrips
    unrealised = result.equity.iloc[-1] - 10_000 - trips["pnl"].sum()
    assert abs(unrealised) < 1.0  # the dust that is left


# -- figures


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    return wandering(20_000, 3)


def test_figures_are_those_of_vectorbt(year: pd.DataFrame) -> None:
    vbt = load_vectorbt()
    result = backtest(TrendCross(timeframes=("1m",)), year, fee=0.0005, slippage=0.0001)
    close = year["close"]
    above = close.rolling(10).mean() > close.rolling(30).mean()
    was = above.shift(1, fill_value=False)
    known = close.rolling(31).count() > 30
    plain = vbt.Portfolio.from_signals(
        close,
        (above & ~was & known).shift(1, fill_value=False),
        (~above & was & known).shift(1, fill_value=False),
        price=year["open"],
        fees=0.0005,
        slippage=0.0001,
        init_cash=10_000.0,
        freq="1min",
    )
    stats, trades = result.stats(), plain.trades
    assert np.array_equal(result.portfolio.order_records, plain.order_records)
    np.testing.assert_allclose(result.equity, plain.value(), rtol=1e-12)
    assert stats["total_return"] == pytest.approx(plain.total_return(), rel=1e-9)
    assert stats["sharpe"] == pytest.approx(plain.sharpe_ratio(), rel=1e-9)
    assert stats["sortino"] == pytest.approx(plain.sortino_ratio(), rel=1e-9)
    assert stats["calmar"] == pytest.approx(plain.calmar_ratio(), rel=1e-9)
    assert stats["annual_return"] == pytest.approx(plain.annualized_return(), rel=1e-9)
    assert stats["volatility"] == pytest.approx(plain.annualized_volatility(), rel=1e-9)
    assert stats["max_drawdown"] == pytest.approx(plain.max_drawdown(), rel=1e-9)
    assert stats["round_trips"] == trades.closed.count() > 100
    assert stats["win_rate"] == pytest.approx(trades.closed.win_rate(), rel=1e-9)
    assert stats["profit_factor"] == pytest.approx(trades.closed.profit_factor(), rel=1e-9)
    assert stats["best"] == pytest.approx(trades.closed.returns.max(), rel=1e-9)
    assert stats["fees"] == pytest.approx(plain.orders.fees.sum(), rel=1e-9)
    np.testing.assert_allclose(result.roundtrips["pnl"], trades.pnl.values, rtol=1e-7, atol=1e-9)


def test_the_longest_drawdown_is_counted() -> None:
    result = backtest(Scripted(entries=(0,)), flat(10, 10, 12, 11, 11, 13, 12), fee=0)
    assert result.stats()["longest_drawdown"] == pd.Timedelta(minutes=3)
    assert result.stats()["max_drawdown"] == pytest.approx(11 / 12 - 1)


# -- what is shown


def test_the_card_and_the_page_show_the_figures(tmp_path: Path, year: pd.DataFrame) -> None:
    result = backtest(TrendCross(timeframes=("1m",)), year, symbol="<BTC>")
    card = result._repr_html_()
    assert "&lt;BTC&gt;" in card and "<BTC>" not in card
    assert f"{result.stats()['sharpe']:.2f}" in card
    page = result.report(tmp_path / "sub" / "report.html").read_text()
    assert "Plotly.newPlot" in page and page.count("<script") >= 2
    assert "src=" not in page.split("</style>")[0] and 'src="http' not in page
    assert repr(result).count("\n") == 0 and "20,000 candles" in repr(result)


def test_the_picture_has_price_trips_equity_and_drawdown(year: pd.DataFrame) -> None:
    result = backtest(TrendCross(timeframes=("1m",)), year)
    figure = result.plot(candles=500)
    names = [trace.name for trace in figure.data]
    assert names == ["price", "entry", "exit", "equity", "hold", "drawdown"]
    assert len(figure.data[0].x) == 500
    assert figure.data[0].high.max() == year["high"].max()
    assert min(figure.data[-1].y) == pytest.approx(result.figures.max_drawdown)


# -- bad input


def test_a_zoned_index_is_converted_once_with_its_meaning_kept() -> None:
    naive = flat(10, 11, 12, 13)
    zoned = naive.tz_localize("UTC").tz_convert("Asia/Tokyo")
    result = backtest(Scripted(entries=(0,)), zoned)
    assert result.frame.index.tz is None and result.frame.index.equals(naive.index)
    assert zoned.index.tz is not None  # what was given is left alone


Spoil = Callable[[pd.DataFrame], object]


def _nan(frame: pd.DataFrame) -> pd.DataFrame:
    frame.iloc[2, 3] = np.nan
    return frame


def _zero(frame: pd.DataFrame) -> pd.DataFrame:
    frame.iloc[2, 0] = 0.0
    return frame


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.iloc[:1], "1 candles of 1m are too few"),
        (_nan, "close of the 1m candle at 1970-01-01 00:02:00 is nan"),
        (_zero, "open of the 1m candle at 1970-01-01 00:02:00 is 0.0"),
        (lambda f: f.iloc[::-1], "out of order.*sort_index"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), "there twice"),
        (lambda f: f.reset_index(drop=True), "not of open times"),
        (lambda f: f.drop(columns="low"), "lack low"),
        (lambda f: f.astype(str).assign(open="x"), "not numbers"),
        (lambda f: f["close"], "must be a pandas DataFrame, not Series"),
        (lambda f: {}, "No candles were given"),
        (lambda f: {"5m": f}, "trades 1m; the candles given are of 5m"),
        (lambda f: f.set_axis(f.index[0] + (f.index - f.index[0]) / 2), "closer than 1m"),
    ],
)
def test_candles_that_cannot_be_used_are_refused(spoil: Spoil, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        backtest(Scripted(entries=(0,)), spoil(flat(10, 11, 12, 13, 14)))  # type: ignore[arg-type]


def test_too_few_candles_for_the_warm_up() -> None:
    with pytest.raises(InvalidInput, match=r"31 to warm up and one to trade on\. Load at least 32"):
        backtest(TrendCross(timeframes=("1m",)), wandering(31))
    backtest(TrendCross(timeframes=("1m",)), wandering(32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fee": -0.1}, "fee is a fraction"),
        ({"slippage": 1.0}, "slippage is a fraction"),
        ({"cash": 0.0}, "cash must be a positive number"),
        ({"order_cost": math.nan}, "order_cost must be a positive number"),
        ({"start": "soon"}, "Cannot read start='soon'"),
        ({"start": "2030-01-01"}, "leaves no candles to trade on"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        backtest(Scripted(), flat(10, 11, 12), **changes)


def test_signals_of_the_wrong_form_are_refused() -> None:
    class Wrong(Scripted):
        def signals(self, data: Frames) -> Signals:
            good = data.frame["close"] > 0
            return Signals(entry=good.iloc[1:], exit=good)

    with pytest.raises(ConfigError, match="not those of the trading frame"):
        backtest(Wrong(), flat(10, 11, 12))

    class Nothing(Scripted):
        def signals(self, data: Frames) -> Signals:
            return None  # type: ignore[return-value]

    with pytest.raises(ConfigError, match=r"must return Signals\(.*not NoneType"):
        backtest(Nothing(), flat(10, 11, 12))

    class Numbers(Scripted):
        def signals(self, data: Frames) -> Signals:
            return Signals(entry=data.frame["close"], exit=data.frame["close"] > 0)

    with pytest.raises(ConfigError, match="float64, not bool"):
        backtest(Numbers(), flat(10, 11, 12))


def test_the_timeframe_is_read_from_the_candles_where_none_is_given() -> None:
    class Free(Scripted):
        timeframes = ()

    assert backtest(Free(entries=(0,)), flat(10, 11, 12)).timeframe == "1m"
    odd = candle_frame(np.arange(3) * 61_000, [[1.0] * 5] * 3)
    with pytest.raises(InvalidInput, match="61000 ms apart"):
        backtest(Free(), odd)


def test_a_higher_timeframe_that_is_missing_is_built() -> None:
    frame = wandering(2_000, 4)
    strategy = TrendPullback(timeframes=("1m", "15m"), length=5, trend=3)
    built = backtest(strategy, frame)
    given = backtest(strategy, {"1m": frame, "15m": resample(frame, "15m", base="1m")})
    assert len(built.roundtrips) > 5
    pd.testing.assert_frame_equal(built.roundtrips, given.roundtrips)


def test_frames_in_order_are_used_as_they_are() -> None:
    seen = []

    class Watching(Scripted):
        def signals(self, data: Frames) -> Signals:
            seen.append(data)
            return super().signals(data)

    frames = Frames("BTC/USDT", {"1m": flat(10, 11, 12)})
    result = backtest(Watching(), frames)
    assert seen[0] is frames and result.symbol == "BTC/USDT"
