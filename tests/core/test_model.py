"""The domain types."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core import model
from botlib.core.model import Candle, CandleSource, Event, Fill, OrderStatus, Position, Side
from tests.support.samples import order

TYPES = [value for value in vars(model).values() if dataclasses.is_dataclass(value)]

CANDLE = Candle(
    symbol="BTC/USDT",
    timeframe="1m",
    timestamp=0,
    open=2.0,
    high=4.0,
    low=1.0,
    close=3.0,
    volume=5.0,
    closed=True,
    source=CandleSource.STREAM,
)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_type_is_frozen_slotted_documented_and_keyword_only(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert not hasattr(kind, "__weakref__") and "__slots__" in vars(kind)
    parameters = inspect.signature(kind).parameters.values()
    assert all(item.kind is inspect.Parameter.KEYWORD_ONLY for item in parameters)
    assert kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}(")


def test_a_candle_can_be_compared_hashed_and_pickled() -> None:
    assert pickle.loads(pickle.dumps(CANDLE)) == CANDLE
    assert len({CANDLE, dataclasses.replace(CANDLE), dataclasses.replace(CANDLE, close=2.5)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        CANDLE.close = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"close": float("nan")}, "not finite"),
        ({"high": float("inf")}, "not finite"),
        ({"volume": float("nan")}, "not finite"),
        ({"low": 0.0}, "low 0.0 is not positive"),
        ({"low": -1.0}, "low -1.0 is not positive"),
        ({"high": 2.5}, "outside low 1.0 to high 2.5"),
        ({"low": 2.5}, "outside low 2.5 to high 4.0"),
        ({"close": 0.5}, "close 0.5 lies outside"),
        ({"open": 4.5}, "open 4.5 or"),
        ({"volume": -0.1}, "volume -0.1 is negative"),
    ],
)
def test_the_flaw_of_an_impossible_candle_is_named(changes: dict[str, float], flaw: str) -> None:
    found = dataclasses.replace(CANDLE, **changes).flaw()  # type: ignore[arg-type]
    assert found is not None and flaw in found


@given(st.lists(st.floats(1e-8, 1e8), min_size=4, max_size=4), st.floats(0, 1e12))
def test_a_candle_with_ordered_prices_is_sound(prices: list[float], volume: float) -> None:
    low, opening, close, high = sorted(prices)
    sound = dataclasses.replace(
        CANDLE, open=opening, high=high, low=low, close=close, volume=volume
    )
    assert sound.flaw() is None
    assert dataclasses.replace(sound, open=close, close=opening).flaw() is None


def test_only_settled_orders_are_final() -> None:
    final = {status for status in OrderStatus if status.final}
    assert final == {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.ABSENT,
    }


def test_the_average_price_is_that_of_the_filled_amount() -> None:
    assert order().average is None
    partly = order(filled=Decimal("0.5"), cost=Decimal("50.25"))
    assert partly.average == Decimal("100.5")


def test_the_cost_of_a_fill_is_exact_and_before_fees() -> None:
    fill = Fill(
        symbol="BTC/USDT",
        trade_id=1,
        venue_order_id="1",
        client_order_id=None,
        side=Side.SELL,
        price=Decimal("0.1"),
        amount=Decimal("0.3"),
        fee=Decimal("0.001"),
        fee_asset="USDT",
        timestamp=0,
        maker=False,
    )
    assert fill.cost == Decimal("0.03")


def test_a_position_is_flat_only_at_zero() -> None:
    flat = Position(
        symbol="BTC/USDT",
        amount=Decimal("0.000"),
        entry_price=Decimal(0),
        opened=None,
        realised=Decimal("-3"),
    )
    assert flat.flat
    assert not dataclasses.replace(flat, amount=Decimal("0.00001")).flat


def test_enums_are_formatted_as_plain_words() -> None:
    assert f"{Side.BUY} {OrderStatus.UNKNOWN} {CandleSource.REST}" == "buy unknown rest"
    assert Side("sell") is Side.SELL


def test_every_event_type_derives_directly_from_event() -> None:
    events = [kind for kind in TYPES if issubclass(kind, Event) and kind is not Event]
    assert len(events) >= 8
    # The bus delivers by exact type: an event under another event would not reach its subscribers.
    assert all(kind.__bases__ == (Event,) for kind in events)
