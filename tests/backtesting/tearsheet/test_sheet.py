"""The tear sheet: figures beside those of known libraries, benchmarks, and unusual histories."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import BacktestResult
from botlib.backtesting.tearsheet import TearSheet
from botlib.backtesting.tearsheet.drawdowns import drawdown_list
from botlib.backtesting.tearsheet.periods import (
    alpha_beta,
    monthly_returns,
    rolling_figures,
    sharpe,
)
from botlib.backtesting.vectorbt_setup import load_vectorbt
from botlib.core.errors import InvalidInput
from botlib.strategies import TrendCross
from tests.support.backtests import Scripted, backtest, candles, flat, wandering

DAYS = pd.date_range("2024-02-20", periods=400, freq="D", unit="ms")
_K = np.arange(400)
RETURNS = pd.Series(0.02 * np.sin(_K * _K * 0.37) + 0.001, DAYS)
BENCHMARK = 0.012 * np.cos(_K * 1.7) + 0.4 * RETURNS.to_numpy() + 0.0005
VALUES = 10_000 * (1 + RETURNS).cumprod()


def hourly(rows: int, seed: int = 3) -> pd.DataFrame:
    frame = wandering(rows, seed, step=4e-3)
    return frame.set_axis(pd.date_range("2024-02-20 05:00", periods=rows, freq="h", unit="ms"))


@pytest.fixture(scope="module")
def traded() -> BacktestResult:
    strategy = TrendCross(fast=4, slow=24, timeframes=("1h",))
    return backtest(strategy, hourly(9_000), fee=0.0004, slippage=0.0002, symbol="BTC/USDT")


def test_figures_are_those_that_empyrical_and_quantstats_compute() -> None:
    # By empyrical-reloaded 0.7.1 and quantstats 0.0.86, of these returns, with 365 days a year.
    assert sharpe(RETURNS, 365) == pytest.approx(2.0439213067066206, rel=1e-12)
    alpha, beta = alpha_beta(RETURNS.to_numpy(), BENCHMARK, 365)
    assert beta == pytest.approx(0.7564290569886968, rel=1e-12)
    assert alpha == pytest.approx(0.27546631640156827, rel=1e-12)
    # quantstats multiplies by the days of a year where empyrical compounds.
    assert 365 * ((1 + alpha) ** (1 / 365) - 1) == pytest.approx(0.2433929649111044, rel=1e-9)
    rolled = rolling_figures(RETURNS, 30, 365)
    assert len(rolled) == 371
    assert rolled["sharpe"].iloc[0] == pytest.approx(1.424093108086766, rel=1e-9)
    assert rolled["sharpe"].sum() == pytest.approx(769.6817522567806, rel=1e-9)
    assert rolled["volatility"].sum() == pytest.approx(102.18881825685622, rel=1e-9)
    months = monthly_returns(VALUES, 10_000)
    assert months.loc[2024, 2] == pytest.approx(-0.010195202094478, abs=1e-12)
    assert months.loc[2024, 3] == pytest.approx(0.1196078851156046, abs=1e-12)
    assert months.loc[2025, 3] == pytest.approx(0.0562578112173715, abs=1e-12)
    assert months.loc[2024, "year"] == pytest.approx(0.6291925992129292, abs=1e-12)
    assert months.loc[2025, "year"] == pytest.approx(0.08486862378832805, abs=1e-12)
    assert months.loc[2024].isna().sum() == 1 and months.loc[2025].isna().sum() == 9
    deepest = drawdown_list(VALUES, 10_000, 3)
    np.testing.assert_allclose(
        deepest["depth"], [-0.11796956464064579, -0.11657831645325434, -0.11569556929435699]
    )
    assert deepest["trough"].dt.strftime("%m-%d").tolist() == ["09-21", "10-25", "06-28"]


def test_the_sheet_is_that_of_vectorbt_over_the_same_days(traded: BacktestResult) -> None:
    vbt = load_vectorbt()
    sheet, figures = traded.tearsheet(), traded.tearsheet().figures
    equity = traded.equity.resample("D").last()
    days = equity / equity.shift(1, fill_value=traded.cash) - 1
    closes = traded.frame["close"].resample("D").last()
    hold = closes / closes.shift(1, fill_value=traded.frame["close"].iloc[0]) - 1
    measured: Any = days.vbt.returns(freq="1D", year_freq="365D")
    assert figures["sharpe_daily"] == pytest.approx(measured.sharpe_ratio(), rel=1e-9)
    assert figures["volatility_daily"] == pytest.approx(measured.annualized_volatility(), rel=1e-9)
    assert figures["beta"] == pytest.approx(measured.beta(hold), rel=1e-9)
    assert figures["alpha"] == pytest.approx(measured.alpha(hold), rel=1e-9)
    found = vbt.Drawdowns.from_ts(traded.equity, freq="1h")
    depths = np.sort(found.drawdown.values)[:10]
    np.testing.assert_allclose(sheet.drawdowns["depth"], depths, rtol=1e-9)
    assert figures["benchmark_return"] == pytest.approx(traded.stats()["benchmark_return"])
    assert np.prod(1 + sheet.monthly["year"]) - 1 == pytest.approx(traded.figures.total_return)
    fills = traded.fills
    opens = traded.frame["open"].to_numpy()[fills.row]
    worse = (np.abs(fills.price - opens) * fills.amount).sum()
    assert figures["slippage_paid"] == pytest.approx(worse, rel=1e-9) and worse > 0


def test_excursions_are_those_of_a_loop_over_the_candles_that_were_held() -> None:
    class Stopped(TrendCross):
        stop_loss = 0.01
        take_profit = 0.02

    strategy = Stopped(fast=4, slow=24, timeframes=("1h",))
    result = backtest(strategy, hourly(3_000))
    trips, frame = result.tearsheet().trips, result.frame
    assert {"exit", "stop_loss", "take_profit"} <= set(trips["reason"])
    for trip in trips.to_dict("records"):
        held = frame[frame.index >= trip["entry_time"]]
        if trip["reason"] != "open":
            held = held[held.index < trip["exit_time"]]
        prices = [trip["entry_price"], *held["low"], *held["high"]]
        if trip["reason"] != "open":
            prices.append(trip["exit_price"])
        assert trip["mae"] == pytest.approx(min(prices) / trip["entry_price"] - 1, abs=1e-12)
        assert trip["mfe"] == pytest.approx(max(prices) / trip["entry_price"] - 1, abs=1e-12)


def test_a_round_trip_within_one_candle_has_the_excursion_of_its_exit() -> None:
    class Stopped(Scripted):
        stop_loss = 0.1

    result = backtest(Stopped(entries=(0,)), candles((10, 10, 10, 10), (10, 30, 5, 10), (9,) * 4))
    (trip,) = result.tearsheet().trips.to_dict("records")
    assert trip["reason"] == "stop_loss" and trip["candles"] == 0
    assert trip["mae"] == pytest.approx(-0.1) and trip["mfe"] == 0


def test_any_series_or_result_is_a_benchmark(traded: BacktestResult) -> None:
    itself = traded.tearsheet(benchmark=traded)
    assert itself.figures["beta"] == pytest.approx(1)
    assert itself.figures["alpha"] == pytest.approx(0, abs=1e-12)
    closes = traded.frame["close"]
    daily = closes.resample("D").last().rename("daily").tz_localize("UTC")
    given = traded.tearsheet(benchmark=daily)
    assert given.name == "daily"
    # The first day is measured from its own close, not from that of its first hour.
    np.testing.assert_allclose(
        given.benchmark_returns.iloc[1:], traded.tearsheet().benchmark_returns.iloc[1:], rtol=1e-9
    )


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        ("BTC/USDT", r"benchmark is 'BTC/USDT' \(str\)\. Accepted: a pandas Series"),
        (pd.Series([1.0, 2.0]), "benchmark is a Series of 2 values with the index RangeIndex"),
        (
            pd.Series([1.0], pd.DatetimeIndex(["2030-01-01"])),
            "benchmark has no values above 0 within the candles, 2024",
        ),
    ],
)
def test_other_benchmarks_are_refused(
    traded: BacktestResult, benchmark: object, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        traded.tearsheet(benchmark=benchmark)


def test_a_window_is_a_span_of_some_days(traded: BacktestResult) -> None:
    assert traded.tearsheet(window="30d").window == 30
    assert traded.tearsheet().window == 90
    with pytest.raises(InvalidInput, match=r"window is 30 \(int\)\. Accepted: a span such as"):
        traded.tearsheet(window=30)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="shorter than two of the periods"):
        traded.tearsheet(window="1h")


def test_the_card_needs_no_network_and_fits_a_notebook(traded: BacktestResult) -> None:
    card = traded.tearsheet(benchmark=traded.equity.rename("<b>"))._repr_html_()
    assert len(card) < 120_000 and "http" not in card and "<script" not in card
    assert "&lt;b&gt;" in card and "<b>beside" not in card
    assert card.count("data:image/svg+xml;base64,") == 3
    assert re.search(r"beta</div><div><b>1\.00", card)


@pytest.mark.parametrize(
    "result",
    [
        backtest(Scripted(entries=(0,)), flat(10, 10, 12, 11)),
        backtest(Scripted(), flat(10, 10, 12, 11)),
        backtest(Scripted(entries=(1,), exits=(2,)), flat(10, 10, 10, 10, 10), fee=0),
        backtest(
            TrendCross(fast=2, slow=5, timeframes=("1w",)),
            wandering(60).set_axis(pd.date_range("2024-01-01", periods=60, freq="7D", unit="ms")),
        ),
    ],
    ids=["open", "nothing traded", "nothing earned", "weeks"],
)
def test_short_and_empty_histories_have_a_sheet(result: BacktestResult) -> None:
    sheet = TearSheet(result)
    assert repr(sheet).startswith("<TearSheet ") and "Equity and drawdown" in sheet._repr_html_()
    assert len(sheet.stats()) > 30
    if result.timeframe == "1w":
        assert sheet.figures["sharpe_daily"] == pytest.approx(result.figures.sharpe)
    else:
        assert np.isnan(sheet.figures["sharpe_daily"])
        assert sheet.monthly.notna().sum().sum() == 2
