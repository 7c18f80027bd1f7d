"""Round trips of a simulation: purchases, and the sales up to the next purchase.

The profit of a round trip is that of `botlib.trading.positions.apply_fill`, computed on columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from botlib.backtesting.metrics import Floats
from botlib.backtesting.simulate import REASONS, Fills

if TYPE_CHECKING:
    import pandas as pd


def roundtrips(fills: Fills, frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per round trip; one still open is valued at the last close.

    Args:
        frame: the candles that the rows of the fills refer to.
    """
    import pandas as pd

    buys = np.flatnonzero(fills.buy)
    starts = buys[np.concatenate(([True], ~fills.buy[buys[1:] - 1]))] if len(buys) else buys
    ends = np.append(starts[1:], len(fills))[: len(starts)] - 1
    closed = ~fills.buy[ends]
    index, closes = frame.index, frame["close"].to_numpy()

    def over(values: Floats, which: npt.NDArray[np.bool_]) -> Floats:
        return np.add.reduceat(np.where(which, values, 0.0), starts) if len(starts) else values

    value = fills.amount * fills.price
    bought, kept = over(fills.amount, fills.buy), over(fills.kept, fills.buy)
    gross, entry_fee = over(value, fills.buy), over(fills.fee, fills.buy)
    paid = over(fills.kept * fills.price, fills.buy) + entry_fee
    sold, exit_fee = over(fills.amount, ~fills.buy), over(fills.fee, ~fills.buy)
    # Exactly the price of the fill if there was only one sale.
    average = np.divide(over(value, ~fills.buy), sold, out=np.full(len(sold), np.nan), where=closed)
    once = closed & (sold == fills.amount[ends])
    exit_price = np.where(once, fills.price[ends], average)
    costs = _cost_of_sold(paid, kept, np.where(closed, sold, kept))
    came = np.where(closed, sold * exit_price - exit_fee, kept * closes[-1])
    first = fills.row[starts]
    last = np.where(closed, fills.row[ends], len(frame))
    exit_times = index.to_numpy()[np.minimum(last, len(frame) - 1)].copy()
    exit_times[~closed] = np.datetime64("NaT")
    reasons = np.where(closed, fills.reason[ends], 0)
    return pd.DataFrame(
        {
            "entry_time": index[first],
            "exit_time": exit_times,
            # Exactly the price of the fill if there was only one purchase.
            "entry_price": np.where(
                bought == fills.amount[starts], fills.price[starts], gross / bought
            ),
            "exit_price": exit_price,
            "amount": bought,
            "sold": sold,
            "entry_fee": entry_fee,
            "exit_fee": exit_fee,
            "fees": entry_fee + exit_fee,
            "pnl": came - costs,
            "return": (came - costs) / gross,
            "candles": last - first,
            "reason": np.array(("open", *REASONS[1:]), dtype=object)[reasons],
        }
    )


def order_profits(orders: npt.NDArray[Any]) -> tuple[Floats, int]:
    """Return the profit of each finished round trip in quote units, and how many are open.

    Purchases are averaged, and a sale is charged its share of the cost of what was held.

    Args:
        orders: vectorbt's order records of one column, in order; side 0 buys, 1 sells.
    """
    buy = orders["side"] == 0
    flow = np.where(buy, -1.0, 1.0) * orders["size"] * orders["price"] - orders["fees"]
    if len(orders) % 2 == 0 or buy[-1]:
        bought, sold = orders[::2], orders[1::2]
        bought = bought[: len(sold)]
        if buy[::2].all() and not buy[1::2].any() and (bought["size"] == sold["size"]).all():
            return flow[: 2 * len(sold) : 2] + flow[1::2], len(orders) % 2
    profits: list[float] = []
    held = paid = 0.0
    open_trip = 0
    for bought_here, size, came in zip(buy, orders["size"], flow, strict=True):
        if bought_here:
            held, paid, open_trip = held + size, paid - came, 1
            continue
        cost = paid * min(size / held, 1.0) if held else 0.0
        profits.append(came - cost)
        held, paid, open_trip = max(held - size, 0.0), paid - cost, 0
    return np.array(profits), open_trip


def held_after(buy: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return for each fill whether something is held after it; dust does not count.

    Args:
        buy: for each fill whether it bought.
    """
    held = buy.copy()
    held[:-1] |= ~buy[1:]
    return held


def _cost_of_sold(paid: Floats, kept: Floats, sold: Floats) -> Floats:
    """Return the cost of the units sold in each trip, at the average price of what was held.

    A remainder too small to sell stays and is sold with a later trip, at its own cost.
    """
    if np.array_equal(kept, sold):
        return paid
    costs = np.empty_like(paid)
    left = value = 0.0
    for trip, (price, units, gone) in enumerate(zip(paid, kept, sold, strict=True)):
        left, value = left + units, value + price
        costs[trip] = value * min(gone / left, 1.0) if left else 0.0
        left, value = max(left - gone, 0.0), value - costs[trip]
    return costs
