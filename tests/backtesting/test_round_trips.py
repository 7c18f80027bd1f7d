"""Profits of round trips: two computations on columns, beside that of positions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.backtesting.kernel import ORDER
from botlib.backtesting.round_trips import order_profits, roundtrips
from botlib.backtesting.simulate import Fills
from botlib.core.model import Fill, Side
from botlib.trading.positions import PositionManager, round_trips

D = Decimal

purchases = st.lists(st.tuples(st.integers(1, 1_000), st.integers(1, 50)), min_size=1, max_size=3)
"""Price and amount of each purchase of a round trip."""
sales = st.tuples(st.integers(1, 1_000), st.sampled_from(["0.25", "0.9", "1"]))
"""Price of the sale, and the fraction of what is held that it sells."""


@given(st.lists(st.tuples(purchases, sales), min_size=1, max_size=6))
def test_profits_are_those_that_positions_book(
    trips: list[tuple[list[tuple[int, int]], tuple[int, str]]],
) -> None:
    """A remainder of one trip is sold with a later one, at its own cost, in all of them."""
    fills: list[Fill] = []
    held = D(0)
    for bought, (price, share) in trips:
        for paid, amount in bought:
            fills.append(_fill(len(fills), Side.BUY, D(paid), D(amount)))
            held += fills[-1].amount - fills[-1].fee
        fills.append(_fill(len(fills), Side.SELL, D(price), held * D(share)))
        held -= fills[-1].amount

    manager = PositionManager()
    booked, before = [], D(0)
    for fill in fills:
        position = manager.apply(fill)
        assert position is not None
        if fill.side is Side.SELL:
            booked.append(float(position.realised - before))
            before = position.realised
    arrays = _arrays(fills)
    frame = pd.DataFrame({"close": np.ones(len(fills))}, index=pd.RangeIndex(len(fills)))
    table = roundtrips(arrays, frame)
    profits, still_open = order_profits(_orders(arrays))
    assert table["pnl"].tolist() == pytest.approx(booked, rel=1e-9, abs=1e-9)
    assert profits.tolist() == pytest.approx(booked, rel=1e-9, abs=1e-9)
    assert not still_open
    assert [len(trip) for trip in round_trips(fills)] == [len(bought) + 1 for bought, _ in trips]


def _fill(number: int, side: Side, price: Decimal, amount: Decimal) -> Fill:
    fee = amount / 1_000 * (1 if side is Side.BUY else price)
    return Fill(
        symbol="BTC/USDT",
        trade_id=number,
        venue_order_id=str(number),
        client_order_id=None,
        side=side,
        price=price,
        amount=amount,
        fee=fee,
        fee_asset="BTC" if side is Side.BUY else "USDT",
        timestamp=number,
        maker=False,
    )


def _arrays(fills: list[Fill]) -> Fills:
    buy = np.array([fill.side is Side.BUY for fill in fills])
    price, amount, fee = (
        np.array([float(getattr(fill, name)) for fill in fills])
        for name in ("price", "amount", "fee")
    )
    return Fills(
        row=np.arange(len(fills)),
        buy=buy,
        price=price,
        amount=amount,
        kept=np.where(buy, amount - fee, 0.0),
        fee=np.where(buy, fee * price, fee),
        reason=np.where(buy, 0, 1),
    )


def _orders(fills: Fills) -> Any:
    orders = np.zeros(len(fills), dtype=ORDER)
    orders["size"] = np.where(fills.buy, fills.kept, fills.amount)
    orders["price"], orders["fees"] = fills.price, fills.fee
    orders["side"] = np.where(fills.buy, 0, 1)
    return orders
