"""Fills on a mirror, by the trades and the book of a venue that the test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.mirror_rig import Client, Mirror, mirror, until
from tests.support.scripted_venue import ScriptedVenue, scripted_venue, symbol_entry

GTC = {"timeInForce": "GTC"}


@asynccontextmanager
async def awake(*words: str) -> AsyncIterator[tuple[ScriptedVenue, Mirror]]:
    """Run a scripted venue and its mirror, which has heard of it."""
    async with (
        scripted_venue() as venue,
        mirror(venue.url, "--balance", "USDT=100000", "--balance", "BTC=10", *words) as made,
    ):
        await until(lambda: len(venue.streams) == 3)
        await venue.trade("100", "1", seller=False)
        await until(made.awake)
        yield venue, made


async def test_a_market_order_walks_the_mirrored_book_and_ends_with_it() -> None:
    async with awake() as (venue, made):
        await venue.book([("99.90", "1"), ("99.80", "2")], [("100.10", "1"), ("100.30", "2")])
        await venue.trade("100", "1", seller=False)
        bought = await made.order("BUY", "MARKET", quantity="2")
        assert [(one["price"], one["qty"]) for one in bought["fills"]] == [
            ("100.10000000", "1.00000000"),
            ("100.30000000", "1.00000000"),
        ]
        assert bought["fills"][0]["commission"] == "0.00100000"
        # What it took is gone until the venue shows its book again, and beyond it is nothing.
        again = await made.order("BUY", "MARKET", quantity="2")
        assert (again["status"], again["executedQty"]) == ("EXPIRED", "1.00000000")
        await venue.book([("99.90", "1")], [("100.20", "5")])
        await until(lambda: _best_ask(made, "100.20"))
        sold = await made.order("SELL", "MARKET", quantity="0.5")
        assert sold["fills"][0]["price"] == "99.90000000"


async def _best_ask(made: Mirror, price: str) -> bool:
    test = await made.order("BUY", "MARKET", quantity="0.1")
    return bool(test["fills"] and float(test["fills"][0]["price"]) == float(price))


async def test_a_trade_at_the_price_fills_after_the_amount_that_stood_there() -> None:
    async with awake() as (venue, made):
        await venue.book([("99.90", "1.5"), ("99.80", "2")], [("100.10", "1")])
        await venue.trade("100", "1", seller=False)
        order = await made.order("BUY", "LIMIT", price="99.90", quantity="1", **GTC)
        assert order["status"] == "NEW"
        await venue.trade("99.90", "1", seller=True)
        await venue.trade("99.90", "0.5", seller=True)
        await venue.trade("99.90", "0.25", seller=True)
        await until(lambda: _executed(made, order, "0.25000000"))
        found = await made.found(order)
        assert (found["status"], found["executedQty"]) == ("PARTIALLY_FILLED", "0.25000000")
        # A trade through the price fills the rest, whatever its amount.
        await venue.trade("99.85", "0.001", seller=True)
        await until(lambda: _executed(made, order, "1.00000000"))
        trades = await made.signed("GET", "myTrades", symbol="BTCUSDT")
        assert [(one["price"], one["isMaker"]) for one in trades] == [("99.90000000", True)] * 2


async def _executed(made: Mirror, order: dict[str, object], amount: str) -> bool:
    return bool((await made.found(order))["executedQty"] == amount)


async def test_a_stop_is_triggered_by_a_trade_and_walks_the_book() -> None:
    async with awake() as (venue, made):
        order = await made.order("SELL", "STOP_LOSS", stopPrice="99.00", quantity="1")
        await venue.trade("99.05", "1", seller=True)
        await venue.book([("98.40", "3")], [("99.00", "1")])
        await venue.trade("98.50", "1", seller=True)
        await until(lambda: _executed(made, order, "1.00000000"))
        trades = await made.signed("GET", "myTrades", symbol="BTCUSDT")
        assert [one["price"] for one in trades] == ["98.40000000"]


async def test_without_a_book_orders_fill_at_the_last_price() -> None:
    async with awake("--no-book") as (venue, made):
        await venue.trade("101.5", "0.001", seller=False)
        await until(lambda: _price(made, "101.50000000"))
        bought = await made.order("BUY", "MARKET", quantity="50")
        assert [(one["price"], one["qty"]) for one in bought["fills"]] == [
            ("101.50000000", "50.00000000")
        ]


async def _price(made: Mirror, price: str) -> bool:
    bought = await made.order("BUY", "MARKET", quantity="0.1")
    return bool(bought["fills"][0]["price"] == price)


async def test_the_filters_are_those_of_the_venue() -> None:
    async with awake() as (venue, made):
        info = (await made.get("exchangeInfo", symbol="BTCUSDT"))["symbols"][0]
        assert info == venue.entry
        refused = [
            await made.order("BUY", "LIMIT", price="99.93", quantity="1", **GTC),
            await made.order("BUY", "LIMIT", price="99.90", quantity="0.0015", **GTC),
            await made.order("BUY", "LIMIT", price="99.90", quantity="0.05", **GTC),
        ]
        assert [one["msg"].removeprefix("Filter failure: ") for one in refused] == [
            "PRICE_FILTER",
            "LOT_SIZE",
            "NOTIONAL",
        ]


async def test_a_stale_mirror_fills_nothing_and_answers_as_in_a_halt() -> None:
    async with awake("--stale-after", "1") as (venue, made):
        order = await made.order("BUY", "LIMIT", price="99.50", quantity="1", **GTC)
        await until(made.stale)
        refused = await made.order("BUY", "MARKET", quantity="1")
        assert refused == {"code": -2010, "msg": "Market is closed."}
        info = (await made.get("exchangeInfo", symbol="BTCUSDT"))["symbols"][0]
        assert info["status"] == "BREAK"
        assert (await made.found(order))["status"] == "NEW"
        # An order can still be cancelled.
        other = await made.signed("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])
        assert other["status"] == "CANCELED"
        await until(lambda: _counted(made))
        state = await made.state()
        assert "Nothing was heard" in state.reason or not state.connected

        # It resumes by itself with the next trade on a connection that stands.
        async def heard() -> bool:
            await venue.trade("100", "1", seller=False)
            return await made.awake()

        await until(heard)
        assert (await made.order("BUY", "MARKET", quantity="1"))["status"] == "FILLED"


async def _counted(made: Mirror) -> bool:
    return bool((await made.state()).staleness)


async def test_trades_that_a_cut_lost_fill_what_rested() -> None:
    async with awake() as (venue, made):
        order = await made.order("BUY", "LIMIT", price="99.50", quantity="1", **GTC)
        for number in range(5):
            await venue.cut()
            await until(made.stale)
            venue.record("99.90", "1", seller=True)
            if number == 4:
                venue.record("99.45", "0.2", seller=True)

            async def heard() -> bool:
                await venue.trade("100", "1", seller=False)
                return await made.awake()

            await until(heard)
        await until(lambda: _executed(made, order, "1.00000000"))
        state = await made.state()
        assert (state.staleness, state.resyncs, state.connections) == (5, 6, 6)
        assert state.missed_trades >= 6


async def test_a_symbol_that_the_venue_halts_is_halted_here() -> None:
    async with scripted_venue() as venue:
        venue.entry = symbol_entry(status="HALT")
        async with mirror(venue.url) as made:
            await until(lambda: len(venue.streams) == 3)
            await venue.trade("100", "1", seller=False)
            await until(made.awake)
            assert (await made.order("BUY", "MARKET", quantity="1"))["code"] == -2010
            info = (await made.get("exchangeInfo", symbol="BTCUSDT"))["symbols"][0]
            assert info["status"] == "HALT"


async def test_accounts_of_one_mirror_have_money_of_their_own() -> None:
    async with awake() as (_, made):
        async with made.session.post(
            f"{made.url}/paper/v1/accounts", json={"account": "second", "balances": {"USDT": "500"}}
        ) as answer:
            keys = await answer.json()
        second = Client(made.url, made.session, (keys["key"], keys["secret"]))
        await second.order("BUY", "MARKET", quantity="0.5")
        assert (await second.free("BTC"), await made.free("BTC")) == (pytest.approx(0.4995), 10.0)
        assert await made.free("USDT") == 100_000
