"""Results of backtests: figures beside vectorbt's, the card, the report and the plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting.vectorbt_setup import load_vectorbt
from botlib.core.errors import InvalidInput
from botlib.core.text import formats
from botlib.strategies import TrendCross
from tests.support.backtests import Scripted, backtest, flat, wandering


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


def test_the_card_and_the_page_show_the_figures(tmp_path: Path, year: pd.DataFrame) -> None:
    result = backtest(TrendCross(timeframes=("1m",)), year, symbol="<BTC>")
    card = result._repr_html_()
    assert "&lt;BTC&gt;" in card and "<BTC>" not in card
    assert formats.number(result.stats()["sharpe"]) in card
    page = result.report(tmp_path / "sub" / "report.html").read_text()
    assert "Plotly.newPlot" in page and page.count("<script") >= 2
    assert "src=" not in page.split("</style>")[0] and 'src="http' not in page
    assert page.count("<section>") == 7 and result.tearsheet()._repr_html_()[-400:-20] in page
    assert repr(result).count("\n") == 0 and "20\u2009000 candles" in repr(result)


def test_a_report_that_cannot_be_written_names_its_path(tmp_path: Path) -> None:
    result = backtest(Scripted(entries=(0,)), flat(10, 10, 12, 11), fee=0)
    with pytest.raises(InvalidInput, match=r"path=.* cannot be written: Is a directory"):
        result.report(tmp_path)


def test_the_picture_has_price_trips_equity_and_drawdown(year: pd.DataFrame) -> None:
    result = backtest(TrendCross(timeframes=("1m",)), year)
    figure = result.plot(candles=500)
    names = [trace.name for trace in figure.data]
    assert names == ["price", "entry", "exit", "equity", "hold", "drawdown"]
    assert len(figure.data[0].x) == 500
    assert figure.data[0].high.max() == year["high"].max()
    assert min(figure.data[-1].y) == pytest.approx(result.figures.max_drawdown)
    # A curve of fewer points ends where the figures say, too.
    traces = {trace.name: trace for trace in result.plot(candles=333).data}
    assert traces["equity"].y[-1] == result.equity.iloc[-1] == result.stats()["equity"]
    assert traces["equity"].x[-1] == result.equity.index[-1]
