"""Costs: what fills pay, what a candle can take, and that live trading assumes the same."""

from __future__ import annotations

import csv
import itertools
import math
import statistics
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import botlib as bl
from botlib.backtesting import backtest
from botlib.backtesting.account import PlainAccount, VenueAccount
from botlib.backtesting.costs import CandleLiquidity
from botlib.config import PaperSettings, Settings
from botlib.core.errors import InvalidInput
from botlib.frames import candle_frame
from botlib.paper.options import PaperOptions
from botlib.strategies import TrendCross
from botlib.trading.sizing import USUAL_ORDER_COST
from tests.support.backtests import BTC, MINUTE, Scripted, trip, wandering

FREE = bl.Costs.none()
STRATEGY = TrendCross(timeframes=("1m",), fast=4, slow=9)
LIMITS = bl.RiskLimits(
    max_order_cost=Decimal(600),
    max_exposure=Decimal(5_000),
    max_open_orders=5,
    max_orders_per_minute=30,
    max_daily_loss=Decimal(500),
)


def traded(*rows: tuple[float, float, float, float, float]) -> pd.DataFrame:
    """Return candles of open, high, low, close and volume."""
    return candle_frame(np.arange(len(rows)) * MINUTE, rows)


def rising(volume: float, rows: int = 8) -> pd.DataFrame:
    """Return candles at 100 with a range of 2 %."""
    return traded(*[(100.0, 101.0, 99.0, 100.0, volume)] * rows)


# One default for all


def test_an_entry_spends_what_a_live_one_does_unless_told_otherwise() -> None:
    frame = wandering(2_000, 4)
    usual = float(bl.RiskLimits(**Settings().risk.model_dump()).usual_cost)
    assert usual == USUAL_ORDER_COST
    result = backtest(STRATEGY, frame)
    bought = result.fills.amount[result.fills.buy]
    decided = frame["close"].to_numpy()[result.fills.row[result.fills.buy] - 1]
    assert bought * decided == pytest.approx(usual)
    named = backtest(STRATEGY, frame, order_cost=usual, costs=bl.Costs())
    assert result.equity.equals(named.equity)
    assert backtest(STRATEGY, frame, limits=LIMITS).order_cost == 300.0
    # All cash is spent, and profits with it, only if it is asked for by name.
    whole = backtest(STRATEGY, frame, order_cost="all", costs=bl.Costs(volume_share=None))
    assert abs(whole.stats()["total_return"]) > 5 * abs(result.stats()["total_return"])


def test_backtests_sweeps_and_walk_forwards_have_the_same_terms() -> None:
    frame = wandering(2_000, 4)
    result = backtest(STRATEGY, frame)
    space: dict[str, Any] = {"fast": [4], "slow": [9], "workers": 0, "progress": False}
    swept = bl.sweep(TrendCross, frame, timeframes="1m", **space)
    assert swept.settings.terms == result.terms
    assert swept.frame["total_return"].iloc[0] == pytest.approx(result.stats()["total_return"])
    walked = bl.walk_forward(TrendCross, frame, timeframes="1m", train=1_000, test=500, **space)
    assert {window.result.terms.costs for window in walked.windows} == {bl.Costs()}
    assert {window.result.order_cost for window in walked.windows} == {result.order_cost}


def test_slippage_and_spread_are_not_nothing_and_replays_of_recorded_candles_have_them() -> None:
    costs = bl.Costs()
    assert costs.spread > 0 and costs.fixed is not None and costs.fixed > costs.spread / 2
    recorded = PaperSettings(market="recording", recording=["candles.csv"])
    for section, slippage in (
        (recorded, Decimal(str(costs.fixed))),
        (recorded.model_copy(update={"slippage": Decimal("0.002")}), Decimal("0.002")),
        (PaperSettings(), Decimal(0)),  # a market of its own has the costs that it is given
    ):
        assert PaperOptions.configured(section).slippage == slippage


def test_the_defaults_lie_above_what_recorded_trades_of_large_markets_show(
    recorded: Callable[[str], Path],
) -> None:
    spreads = []
    for name in ("BTCUSDT-aggTrades-20200102-gct.csv", "ETHBTC-trades-20230320-gct.csv"):
        with recorded(f"trades/{name}").open() as file:
            rows = [
                (int(row["timestamp"]), float(row["price"]), row["isBuyerMaker"] == "True")
                for row in csv.DictReader(file)
            ]
        spreads.append(
            statistics.median(
                (later - price if seller else price - later) / price
                for (then, price, seller), (now, later, other) in itertools.pairwise(rows)
                if seller != other and now - then <= 1_000
            )
        )
    assert 0 < min(spreads) and max(spreads) <= bl.Costs().spread < 5 * max(spreads)


# Fees


def test_a_target_pays_the_fee_of_a_maker_and_a_rebate_is_earned() -> None:
    frame = traded((100, 100, 100, 100, 1e6), (100, 101, 99, 100, 1e6), (100, 103, 99, 102, 1e6))
    strategy = Scripted(entries=(0,), take_profit=0.02)
    for maker in (0.0004, -0.0001):
        costs = bl.Costs(maker=maker, taker=0.001, spread=0.0, slippage=0.0)
        for market in (None, BTC):
            only = trip(backtest(strategy, frame, costs=costs, market=market))
            assert only["reason"] == "take_profit" and only["exit_price"] == 102.0
            assert only["exit_fee"] == pytest.approx(maker * only["sold"] * 102.0, rel=1e-6)
            assert only["entry_fee"] == pytest.approx(0.001 * only["amount"] * 100.0, rel=1e-6)


def test_tiers_and_fees_in_another_asset() -> None:
    tier = bl.Costs.of_tier("VIP 1")
    assert (tier.maker, tier.taker) == (0.0009, 0.001)
    paid = bl.Costs.of_tier("VIP 1", paid_in="BNB")
    assert (paid.maker, paid.taker, paid.paid_in) == (0.000675, 0.00075, "BNB")
    result = backtest(Scripted(entries=(0,), exits=(2,)), rising(1e6), costs=paid, market=BTC)
    only = trip(result)
    assert only["sold"] == only["amount"]  # nothing is taken from what is bought
    assert result.equity.iloc[-1] == pytest.approx(10_000 + only["pnl"])
    with pytest.raises(InvalidInput, match=r"no fee tier 'VIP1'.* Did you mean 'VIP 1'"):
        bl.Costs.of_tier("VIP1")
    with pytest.raises(InvalidInput, match="fees in BNB, not in 'DOGE'"):
        bl.Costs.of_tier("regular", paid_in="DOGE")


# Slippage


@pytest.mark.parametrize("market", [None, BTC])
@pytest.mark.parametrize(
    ("slippage", "worse"),
    [
        (0.001, 0.001),
        (bl.RangeSlippage(0.05), 0.05 * 0.02),  # a twentieth of a range of 2 %
        (bl.VolumeSlippage(0.4), 0.4 * 0.05**2),  # 1,000 / 100 of a volume of 200
    ],
)
def test_slippage_models(market: Any, slippage: Any, worse: float) -> None:
    costs = bl.Costs(taker=0.0, spread=0.0, slippage=slippage)
    result = backtest(Scripted(entries=(0,), exits=(2,)), rising(200.0), costs=costs, market=market)
    tick = 0.0101 if market else 1e-9  # the worse tick
    assert trip(result)["entry_price"] == pytest.approx(100 * (1 + worse), abs=tick)
    assert trip(result)["exit_price"] == pytest.approx(100 * (1 - worse), abs=tick)
    assert result.slippage_paid == pytest.approx(2 * 10 * 100 * worse, rel=0.01)
    assert trip(backtest(Scripted(entries=(0,)), rising(1e6), costs=bl.Costs(spread=0.01)))[
        "entry_price"
    ] == pytest.approx(100 * (1 + 0.005 + 0.0001))


def test_a_sweep_has_the_slippage_of_its_backtests() -> None:
    frame = wandering(1_000, 4)
    space: dict[str, Any] = {"fast": [4], "slow": [9], "workers": 0, "progress": False}
    for costs in (
        bl.Costs(slippage=bl.RangeSlippage()),
        bl.Costs(slippage=bl.VolumeSlippage()),
        bl.Costs(volume_share=0.01),
    ):
        result = backtest(STRATEGY, frame, costs=costs)
        swept = bl.sweep(TrendCross, frame, timeframes="1m", costs=costs, **space).frame.iloc[0]
        for name in ("total_return", "sharpe", "round_trips", "exposure", "fees"):
            assert swept[name] == pytest.approx(result.stats()[name]), (costs, name)


# Volume


@pytest.mark.parametrize("market", [None, BTC])
@pytest.mark.parametrize("stops", [{}, {"stop_loss": 0.2}])
def test_a_fill_never_exceeds_a_share_of_the_volume_unless_asked(
    market: Any, stops: dict[str, float]
) -> None:
    strategy = Scripted(entries=(0,), exits=(3,), **stops)
    thin = rising(40.0)
    costs = bl.Costs(taker=0.0, maker=0.0, spread=0.0, slippage=0.0)
    result = backtest(strategy, thin, costs=costs, market=market)
    assert result.fills.amount.tolist() == [4.0, 4.0] and result.cut == 1
    assert "1 fills were smaller than wanted" in result._repr_html_()
    asked = bl.Costs.none()
    assert backtest(strategy, thin, costs=asked, market=market).fills.amount[0] == 10.0
    # What cannot be sold at once is sold at the next opens, and is one round trip.
    drying = traded(*[(100.0, 101.0, 99.0, 100.0, v) for v in (1e3, 1e3, 1e3, 1e3, 40, 0, 50, 1e3)])
    result = backtest(strategy, drying, costs=costs, market=market)
    assert result.fills.row.tolist() == [1, 4, 6, 7]
    assert result.fills.amount.tolist() == pytest.approx([10.0, 4.0, 5.0, 1.0])
    assert len(result.roundtrips) == 1 and trip(result)["sold"] == pytest.approx(10.0)
    assert trip(result)["exit_time"] == drying.index[7]
    assert result.stats()["exposure"] == pytest.approx(6 / 8)
    assert result.equity.iloc[-1] == pytest.approx(10_000.0)


def test_candles_without_any_volume_are_an_error_and_not_a_run_without_fills() -> None:
    with pytest.raises(InvalidInput, match=r"every candle is 0\. Pass costs=bl\.Costs\(volume_sh"):
        backtest(Scripted(entries=(0,)), rising(0.0))
    assert len(backtest(Scripted(entries=(0,)), rising(0.0), costs=FREE).fills) == 1


def test_both_accounts_spend_what_they_have_and_no_more() -> None:
    for costs in (bl.Costs(), bl.Costs(slippage=bl.VolumeSlippage()), bl.Costs.of_tier("VIP 2")):
        for account in (
            PlainAccount(cash=1_000.0, order_cost=None, costs=costs),
            VenueAccount(BTC, cash=1_000.0, order_cost=None, costs=costs),
        ):
            done = account.buy(100.0, 100.0, CandleLiquidity(0.02, 1e3))
            assert done is not None
            assert 990 < done.amount * done.price <= 1_000.0


# Limits


def test_limits_of_a_bot_refuse_the_same_entries_in_a_backtest() -> None:
    frame = rising(1e6, 20)
    strategy = Scripted(entries=(0, 4, 8, 12), exits=(2, 6, 10, 14))

    def run(limits: dict[str, Any], **given: Any) -> Any:
        wanted = {"max_order_cost": Decimal(5_000)} | limits
        changed = {name: getattr(LIMITS, name) for name in LIMITS.__slots__} | wanted
        terms = {"order_cost": 1_000.0, "symbol": "BTC/USDT"} | given
        return backtest(strategy, frame, limits=bl.RiskLimits(**changed), **terms)

    assert len(run({}).roundtrips) == 4
    for limits in (
        {"max_order_cost": Decimal(999)},
        {"max_exposure": Decimal(999)},
        {"max_position": Decimal(999)},
        {"symbols": ("ETH/USDT",)},
    ):
        result = run(limits)
        assert not len(result.fills) and result.refused == 4, limits
    # Each round trip loses 2.3: the second one is beyond 4, and entries wait for the next day.
    assert len(run({"max_daily_loss": Decimal(4)}).roundtrips) == 2
    assert len(run({"max_drawdown": Decimal("0.0004")}).roundtrips) == 2


def test_a_daily_loss_ends_with_the_day_and_a_drawdown_does_not() -> None:
    hours = candle_frame(np.arange(48) * 60 * MINUTE, [(100.0, 101.0, 99.0, 100.0, 1e6)] * 48)

    class Hourly(Scripted):
        timeframes = ("1h",)

    strategy = Hourly(entries=tuple(range(0, 48, 4)), exits=tuple(range(2, 48, 4)))
    days = [
        trips["entry_time"].dt.day.tolist()
        for trips in (
            backtest(
                strategy,
                hours,
                order_cost=500.0,
                limits=bl.RiskLimits(
                    max_order_cost=Decimal(600),
                    max_exposure=Decimal(5_000),
                    max_open_orders=5,
                    max_orders_per_minute=30,
                    max_daily_loss=loss,
                    max_drawdown=drawdown,
                ),
            ).roundtrips
            for loss, drawdown in ((Decimal(1), None), (Decimal(500), Decimal("0.0001")))
        )
    ]
    assert days == [[1, 2], [1]]


# Errors


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: bl.Costs(maker=-1.0), "maker is a fraction above -1"),
        (lambda: bl.Costs(taker=-0.001), "taker is a fraction from 0 to below 1, not -0.001"),
        (lambda: bl.Costs(spread=math.nan), "spread is a fraction"),
        (lambda: bl.Costs(slippage="much"), "slippage is a fraction.*RangeSlippage"),  # type: ignore[arg-type]
        (lambda: bl.Costs(volume_share=0.0), "volume_share is a fraction above 0"),
        (lambda: bl.RangeSlippage(2.0), r"RangeSlippage\.share is a fraction"),
        (lambda: bl.Costs(spread=np.zeros(3)), "spread is a fraction .* an ndarray"),  # type: ignore[arg-type]
        (lambda: bl.backtest(STRATEGY, rising(1.0), costs=0.1), r"Accepted: costs such as bl\.C"),  # type: ignore[arg-type]
        (lambda: bl.backtest(STRATEGY, rising(1.0), order_cost=-1.0), "or 'all' for all cash"),
    ],
)
def test_what_is_not_accepted_says_what_is(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        wrong()
