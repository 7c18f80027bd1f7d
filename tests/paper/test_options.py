"""The options of a paper exchange: from a configuration, and through JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from botlib.config import PaperSettings
from botlib.core.errors import UnknownSymbol
from botlib.paper import MarketPace, PaperOptions
from botlib.paper.market.depth import Depth
from botlib.paper.market.replay import ReplayMarket

MINUTE = 60_000
Candles = Callable[..., ReplayMarket]


def configured(**values: object) -> PaperOptions:
    return PaperOptions.configured(PaperSettings.model_validate(values))


def test_the_defaults_of_a_configuration_are_those_of_the_record() -> None:
    assert configured() == PaperOptions(event_seed=42)


def test_the_book_is_as_deep_as_configured() -> None:
    assert configured().depth is None
    assert configured(depth={}, seed=7).depth == Depth(seed=7)
    own = configured(depth={"size": "12.5", "latency": 3, "seed": 1})
    assert own.depth == Depth(size=Decimal("12.5"), latency=3, seed=1)


def test_in_lockstep_a_market_has_no_speed_of_its_own() -> None:
    assert configured(speed=60).pace == MarketPace(60.0)
    assert configured(speed="max").pace == MarketPace(None)
    assert configured(speed=60, lockstep=True).pace == MarketPace(None, lockstep=True)


def test_the_record_is_the_same_after_json() -> None:
    full = PaperOptions(
        seed=7,
        recordings=(Path("a.csv.gz"), Path("b.csv.gz")),
        symbols=("BTC/USDT",),
        start=1,
        history=500,
        pace=MarketPace(None, lockstep=True, step=500),
        depth=Depth(spread=Decimal("0.00000001"), size=Decimal("12.5"), latency=3),
        slippage=Decimal("0.002"),
        balances={"USDT": Decimal("0.1"), "BTC": Decimal(2)},
        fee=Decimal("0.00075"),
        burn_bnb=True,
        bnb_price=Decimal("500.5"),
        events="last",
        event_seed=9,
        ledger=Path("x.ledger.db"),
        port=8123,
        scenario=Path("faults.yaml"),
        watch_parent=True,
        save_interval=600.0,
    )
    for options in (PaperOptions(), full):
        assert PaperOptions.from_json(options.to_json()) == options


def test_an_endless_market_starts_now_unless_a_start_is_given() -> None:
    options = PaperOptions()
    market = options.open_market()
    assert options.first_moment(market, now=5) == 5
    assert replace(options, start=3).first_moment(market, now=5) == 3


def test_a_recording_starts_after_the_requested_history(candles: Candles, start_time: int) -> None:
    row = (1, 1, 1, 1, 1)
    market = candles(
        BTCUSDT=dict.fromkeys(range(40), row), ETHUSDT=dict.fromkeys(range(5, 40), row)
    )
    options = PaperOptions(symbols=("BTC/USDT", "ETH/USDT"))
    assert options.first_moment(market, now=5) == start_time
    for history in (0, 10):
        wanted = start_time + (5 + history) * MINUTE
        assert replace(options, history=history).first_moment(market, now=5) == wanted
    with pytest.raises(UnknownSymbol, match="SOL/USDT"):
        replace(options, symbols=("SOL/USDT",), history=0).first_moment(market, now=5)


def test_a_symbol_that_the_market_cannot_list_is_refused() -> None:
    with pytest.raises(UnknownSymbol, match="BTC/BTC"):
        PaperOptions(symbols=("BTC/BTC",)).open_market()
