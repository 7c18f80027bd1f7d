"""The compiled kernels, held to the account that states their rules in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.backtesting.simulate import Fills, FillSimulator
from botlib.backtesting.sweeps.kernel import load_kernel
from botlib.backtesting.terms import Terms
from botlib.trading.stops import StopRules

prices = st.floats(0.5, 500).map(lambda price: round(price, 2))
candles = st.tuples(prices, prices, st.sampled_from(["entry", "exit", ""]))
"""Open, close, and what is due at the open."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning:vectorbt")
@pytest.mark.parametrize("engine", ["rust", "numba"])
@settings(max_examples=60, deadline=None)
@given(
    st.lists(candles, min_size=2, max_size=25),
    st.sampled_from([0.0, 0.001, 0.01]),
    st.sampled_from([0.0, 0.002]),
    st.sampled_from([None, 50.0, 1_000.0, 20_000.0]),
)
def test_a_kernel_sizes_fills_and_charges_as_the_plain_account(
    engine: str,
    rows: list[tuple[float, float, str]],
    fee: float,
    slippage: float,
    order_cost: float | None,
) -> None:
    terms = Terms(fee=fee, slippage=slippage, order_cost=order_cost)
    opens, closes = (np.array([row[place] for row in rows], dtype=float) for place in (0, 1))
    entries, exits = (np.array([row[2] == what for row in rows]) for what in ("entry", "exit"))
    before = float(opens[0])
    fills = _plain_fills(opens, closes, entries, exits, before, terms)
    orders = load_kernel(engine).orders(
        entries,
        exits,
        opens,
        closes,
        size=terms.sizes(np.concatenate(([before], closes[:-1]))),
        fee=fee,
        slippage=slippage,
        cash=terms.cash,
    )
    assert orders["idx"].tolist() == fills.row.tolist()
    assert (orders["side"] == 0).tolist() == fills.buy.tolist()
    for column, expected in (("price", fills.price), ("size", fills.amount), ("fees", fills.fee)):
        assert orders[column] == pytest.approx(expected, rel=1e-9)


def _plain_fills(
    opens: np.ndarray,
    closes: np.ndarray,
    entries: np.ndarray,
    exits: np.ndarray,
    before: float,
    terms: Terms,
) -> Fills:
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    return FillSimulator(
        np.column_stack([opens, high, low, closes]),
        entries,
        exits,
        account=terms.account(),
        stops=StopRules(),
        before=before,
    ).run()
