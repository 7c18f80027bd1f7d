"""Scenarios in which the limits of the venue are near, or it asks to wait, on many symbols."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

from tests.support.order_rig import Rig
from tests.support.order_scenarios import Step
from tests.support.order_venue import market

D = Decimal


def _list_symbols(rig: Rig, symbols: list[str]) -> None:
    """Have the venue list symbols, and a strategy trade each of them; the first two are bought."""
    rig.limits = replace(rig.limits, max_open_orders=20)
    rig.orders._context.risk.limits = rig.limits
    for symbol in symbols:
        rig.venue.markets[symbol] = market(symbol)
        rig.venue.prices[symbol] = D(100)
        rig.trade("trend", symbol, stop_loss=0.05)
    for symbol in symbols[:2]:
        rig.enter("trend", symbol, cost=50)


def waiting_crowd() -> list[Step]:
    """Return: the venue asks to wait, and then exits and entries of several symbols are due."""
    symbols = [f"C{number}/USDT" for number in range(4)]

    async def crowd(rig: Rig) -> None:
        rig.venue.faults.place.append("busy")
        rig.enter("trend", symbols[3], cost=50)
        await asyncio.sleep(0.1)
        rig.enter("trend", symbols[2], cost=50)
        for symbol in symbols[:2]:
            rig.exit("trend", symbol)

    return [
        lambda rig: _list_symbols(rig, symbols),
        lambda rig: rig.minute(),
        crowd,
        lambda rig: rig.minute(),
    ]


def near_limits() -> list[Step]:
    """Return: many symbols enter while others are left, and the venue's limits are near."""
    symbols = [f"C{number}/USDT" for number in range(8)]

    async def crowd(rig: Rig) -> None:
        rig.venue.limits.set(orders_10s=12)
        for symbol in symbols[2:]:
            rig.enter("trend", symbol, cost=50)
        await asyncio.sleep(0.5)
        for symbol in symbols[:2]:
            rig.exit("trend", symbol)

    def fewer(rig: Rig) -> None:
        rig.venue.limits.set(orders_10s=100, request_weight_1m=64)

    async def look(rig: Rig) -> None:
        await asyncio.sleep(1)
        rig.orders.check()
        await asyncio.sleep(1)
        for symbol in symbols:
            rig.exit("trend", symbol)

    def many(rig: Rig) -> None:
        rig.venue.limits.set(request_weight_1m=6_000)

    return [
        lambda rig: _list_symbols(rig, symbols),
        lambda rig: rig.minute(),
        crowd,
        lambda rig: rig.minute(),
        fewer,
        lambda rig: rig.minute(),
        look,
        lambda rig: rig.minute(),
        many,
        lambda rig: rig.minute(),
    ]
