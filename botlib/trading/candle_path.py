"""The path of the price inside a candle: which of two prices it reaches first.

A candle does not say in which order its price reached its high and its low. Wherever this matters,
botlib assumes one path: from the open to the extreme that is nearer to it, to the other one, and to
the close. If both are equally far, the open time of the candle decides, always in the same way.
The paper exchange moves its price along this path, and a backtest decides by it whether a candle
that reaches both stop and target sells at the one or at the other.
"""

from __future__ import annotations

import random


def path_draws(key: int | str) -> random.Random:
    """Return the source of what is drawn for the path of a candle.

    Args:
        key: open time of the candle, ms, for the path that everybody assumes.
    """
    return random.Random(key)


def high_first(opened: float, high: float, low: float, draws: random.Random) -> bool:
    """Return whether a candle reaches its high before its low.

    Args:
        opened: open price.
        high: high price.
        low: low price.
        draws: `path_draws` of the candle, from which nothing was drawn; used for a tie only.
    """
    up, down = high - opened, opened - low
    return up < down if up != down else draws.random() < 0.5


def stop_first(
    opened: float, high: float, low: float, timestamp: int, *, stop: float, target: float
) -> bool:
    """Return whether a candle reaches a stop before a target that lies above it.

    Args:
        opened: open price.
        high: high price.
        low: low price.
        timestamp: open time of the candle, ms.
        stop: price at or below which the stop sells, minus infinity for none.
        target: price at or above which the target is filled, infinity for none.
    """
    if opened <= stop or high < target:
        return True
    if opened >= target or low > stop:
        return False
    return not high_first(opened, high, low, path_draws(timestamp))
