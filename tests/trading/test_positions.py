"""Positions net of fees."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.model import Fill, Side
from botlib.trading import positions
from botlib.trading.positions import PositionManager

D = Decimal


def fill(
    trade_id: int, side: Side, price: str, amount: str, fee: str = "0", fee_asset: str = "USDT"
) -> Fill:
    return Fill(
        symbol="BTC/USDT",
        trade_id=trade_id,
        venue_order_id="1",
        client_order_id=None,
        side=side,
        price=D(price),
        amount=D(amount),
        fee=D(fee),
        fee_asset=fee_asset,
        timestamp=trade_id,
        maker=False,
    )


def test_a_fee_in_the_base_asset_leaves_less_to_sell() -> None:
    manager = PositionManager()
    position = manager.apply(fill(1, Side.BUY, "100", "2", fee="0.002", fee_asset="BTC"))
    assert position is not None
    assert position.amount == D("1.998")
    assert position.entry_price == D("200") / D("1.998")
    assert position.opened == 1


def test_a_round_trip_books_its_profit_net_of_both_fees() -> None:
    manager = PositionManager()
    manager.apply(fill(1, Side.BUY, "100", "1", fee="0.001", fee_asset="BTC"))
    closed = manager.apply(fill(2, Side.SELL, "110", "0.999", fee="0.10989"))
    assert closed is not None and closed.flat
    assert closed.opened is None and closed.entry_price == 0
    assert abs(closed.realised - (D("109.89") - D("0.10989") - D("100"))) < D("1e-20")
    assert manager.realised() == closed.realised


def test_a_fill_counts_once() -> None:
    manager = PositionManager()
    first = fill(1, Side.BUY, "100", "1")
    assert manager.apply(first) is not None
    assert manager.apply(first) is None
    assert manager.get("BTC/USDT").amount == 1


def test_loaded_fills_replace_what_was_known() -> None:
    manager = PositionManager()
    manager.apply(fill(7, Side.BUY, "100", "5"))
    for _ in range(2):
        manager.load([fill(1, Side.BUY, "100", "2"), fill(2, Side.SELL, "110", "1")])
        assert manager.get("BTC/USDT").amount == 1
        assert manager.realised() == 10


def test_trade_ids_are_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "REMEMBERED_TRADES", 3)
    manager = PositionManager()
    for number in range(10):
        manager.apply(fill(number, Side.BUY, "100", "1"))
    assert [manager.apply(fill(number, Side.BUY, "100", "1")) for number in (7, 8, 9)] == [None] * 3
    assert len(manager._seen) == 3


def test_a_fee_in_a_third_asset_changes_neither_amount_nor_profit() -> None:
    manager = PositionManager()
    manager.apply(fill(1, Side.BUY, "100", "1", fee="0.01", fee_asset="BNB"))
    assert manager.get("BTC/USDT").amount == 1
    assert manager.get("BTC/USDT").entry_price == 100


def test_exposure_and_unrealised_profit_use_the_given_prices() -> None:
    manager = PositionManager()
    manager.apply(fill(1, Side.BUY, "100", "2"))
    assert manager.exposure({"BTC/USDT": 120.0}) == 240
    assert manager.unrealised({"BTC/USDT": 120.0}) == 40
    assert manager.exposure({}) == 200  # no price yet: what was paid


def test_dust_does_not_date_the_next_position() -> None:
    manager = PositionManager()
    manager.apply(fill(1, Side.BUY, "100", "1"))
    manager.apply(fill(2, Side.SELL, "100", "0.9999"))
    assert manager.get("BTC/USDT").opened == 1
    manager.apply(fill(3, Side.BUY, "100", "1"))
    assert manager.get("BTC/USDT").opened == 3
    manager.apply(fill(4, Side.BUY, "100", "1"))
    assert manager.get("BTC/USDT").opened == 3


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 1000), st.integers(1, 50), st.integers(0, 5)),
        max_size=30,
    )
)
def test_money_is_conserved(steps: list[tuple[bool, int, int, int]]) -> None:
    """Realised plus unrealised profit equals the change of cash and the value of coins."""
    manager = PositionManager()
    cash, coins = D(0), D(0)
    for number, (buy, price, amount, fee) in enumerate(steps):
        if not buy and coins < amount:
            continue
        side = Side.BUY if buy else Side.SELL
        cash += (-price if buy else price) * D(amount) - D(fee)
        coins += amount if buy else -amount
        manager.apply(fill(number, side, str(price), str(amount), fee=str(fee)))
    value = {"BTC/USDT": 77.0}
    total = manager.realised() + manager.unrealised(value)
    assert abs(total - (cash + coins * 77)) < D("1e-15")
    assert manager.get("BTC/USDT").amount == coins


def books(manager: PositionManager) -> dict[str, Decimal]:
    return {name: one.amount for name, one in manager.books("BTC/USDT").items()}


def test_each_strategy_has_a_book_of_its_own_and_a_symbol_is_their_sum() -> None:
    manager = PositionManager()
    manager.apply(fill(1, Side.BUY, "100", "2"), "trend")
    manager.apply(fill(2, Side.BUY, "130", "1"), "swing")
    assert books(manager) == {"trend": 2, "swing": 1}
    assert manager.of("trend", "BTC/USDT").entry_price == 100
    whole = manager.get("BTC/USDT")
    assert (whole.amount, whole.entry_price, whole.opened) == (3, 110, 1)
    manager.apply(fill(3, Side.SELL, "120", "2"), "trend")
    assert manager.of("trend", "BTC/USDT").flat
    assert manager.of("swing", "BTC/USDT").amount == 1
    assert (manager.get("BTC/USDT").opened, manager.realised()) == (2, 40)
    assert manager.of("never heard of", "BTC/USDT").flat


def test_a_fill_counts_for_one_book_only() -> None:
    manager = PositionManager()
    assert manager.apply(fill(1, Side.BUY, "100", "2"), "trend") is not None
    assert manager.apply(fill(1, Side.BUY, "100", "2"), "swing") is None
    assert books(manager) == {"trend": 2}


def test_a_sale_of_an_earlier_version_sold_what_any_strategy_had_bought() -> None:
    manager = PositionManager()
    history = [
        (fill(1, Side.BUY, "100", "2"), "trend"),
        (fill(2, Side.BUY, "130", "1"), "swing"),
        (fill(3, Side.SELL, "120", "2.5", fee="1"), "by-hand"),
        (fill(4, Side.SELL, "140", "0.5"), "trend"),
        (fill(5, Side.BUY, "150", "1"), "trend"),
    ]
    strategies = {one.trade_id: name for one, name in history}
    for _ in range(2):
        manager.load(
            [one for one, _ in history], lambda one: strategies[one.trade_id], lambda one: True
        )
        assert books(manager) == {"trend": 1, "swing": 0}
        assert manager.realised() == 2 * 20 - D("0.5") * 10 - 1 + D("0.5") * 10
        assert manager.apply(history[2][0], "by-hand") is None
        assert manager.get("BTC/USDT").amount == 1


def test_a_sale_of_nothing_that_is_held_counts_for_its_own_book() -> None:
    manager = PositionManager()
    manager.load([fill(1, Side.SELL, "100", "2")], lambda one: "trend", lambda one: True)
    assert books(manager) == {"trend": -2}
