"""What a mirror loses and what it cannot read: it goes on, and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from botlib.paper import MirrorState, PaperExchange, PaperOptions
from botlib.paper import mirror_venue as module
from botlib.paper.mirror.market import MirrorMarket
from botlib.paper.mirror.source import MirrorSource
from tests.support.mirror_rig import Client, Mirror, mirror, until
from tests.support.scripted_venue import SYMBOL, ScriptedVenue, scripted_venue, symbol_entry


async def hear(venue: ScriptedVenue, made: Mirror) -> None:
    """Have the venue trade until the mirror follows it."""

    async def heard() -> bool:
        await venue.trade("100", "1", seller=False)
        return await made.awake()

    await until(heard)


async def test_a_loss_is_in_the_state_and_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with scripted_venue() as venue, mirror(venue.url, log=log) as made:
        await hear(venue, made)
        assert (await made.state()).losses() == ""
        await venue.cut()
        await until(made.stale)
        assert "closed" in (await made.state()).reason
        await hear(venue, made)
        state = await made.state()
        assert (state.staleness, state.reconnections, state.reason) == (1, 1, "")
        assert state.losses() == "1 reconnection"
    lines = await asyncio.to_thread(log.read_text)
    assert "The mirror follows binance." in lines
    assert "The mirror of binance is stale, and fills nothing: The connection was" in lines
    assert "The mirror follows binance again after" in lines
    assert "stale 1 times on 2 connections" in lines
    # Each line has its time.
    assert all(line[:2] == "20" for line in lines.splitlines()), lines


async def test_a_silence_is_the_reason_until_something_is_heard(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with (
        scripted_venue() as venue,
        mirror(venue.url, "--stale-after", "1", log=log) as made,
    ):
        await hear(venue, made)
        await until(made.stale)

        async def dialled() -> bool:
            return (await made.state()).resyncs >= 2

        await until(dialled)
        # A connection that stands proves nothing.
        assert (await made.state()).reason == "Nothing was heard for more than 1 s."
        await hear(venue, made)
    lines = await asyncio.to_thread(log.read_text)
    assert "is stale, and fills nothing: Nothing was heard for more than 1 s." in lines
    assert "again after" in lines


UNREADABLE = (
    ("aggTrade", {"e": "aggTrade", "a": 10**6}),
    ("aggTrade", {"e": "aggTrade", "a": 10**6, "p": "nan", "q": "1", "m": True}),
    ("aggTrade", {"e": "aggTrade", "a": 10**6, "p": "-1", "q": "1", "m": True}),
    ("depth20@100ms", {"lastUpdateId": "x", "bids": [["1"]], "asks": 7}),
    ("avgPrice", {"e": "avgPrice", "w": "one"}),
    ("kline_1m", {"e": "kline", "k": {"x": True}}),
    ("kline_1m", ["a list"]),
)


@pytest.mark.parametrize(("kind", "payload"), UNREADABLE)
async def test_a_frame_that_cannot_be_read_is_counted_and_left_out(
    kind: str, payload: object
) -> None:
    async with scripted_venue() as venue, mirror(venue.url) as made:
        await hear(venue, made)
        socket = await made.session.ws_connect(f"{made.url}/ws/btcusdt@kline_1m")
        await until(lambda: "btcusdt@kline_1m" in venue.streams)
        await venue.send(kind, payload if kind != "kline_1m" else _closing(payload))
        # Some are read only when somebody looks.
        await made.order("BUY", "MARKET", quantity="0.1")

        async def counted() -> bool:
            await made.order("BUY", "LIMIT", quantity="0.1", price="90", timeInForce="GTC")
            return (await made.state()).malformed >= 1

        await until(counted)
        await venue.trade("101", "1", seller=False)
        await venue.book([("100.9", "1")], [("101.1", "1")])

        async def filled() -> bool:
            found = await made.order("BUY", "MARKET", quantity="0.1")
            return bool(found["fills"] and float(found["fills"][0]["price"]) == 101.1)

        await until(filled)
        await socket.close()


def _closing(payload: Any) -> Any:
    return payload if isinstance(payload, dict) else {"e": "kline", "k": {"x": True, "t": payload}}


async def test_text_that_is_no_json_is_counted() -> None:
    async with scripted_venue() as venue, mirror(venue.url) as made:
        await hear(venue, made)
        for text in ("no json", "[1, 2]", '{"stream":"btcusdt@aggTrade","data":'):
            for socket in venue.sockets:
                await socket.send_str(text)

        async def counted() -> bool:
            return (await made.state()).malformed >= 3

        await until(counted)
        await hear(venue, made)


@pytest.mark.parametrize(
    "answer",
    [
        '{"a": 1}', '[["x", 1, 2, 3, 4, 5, 6]]', "[[1, 2]]", '[[1, "x", "1", "1", "1", "1", 2]]',
        '[[1, "1", "1", "1", "1", "NaN", 2]]', "no json", "7", '[[1, "1", [], "1", "1", "1", 2]]',
    ],
)  # fmt: skip
async def test_candles_that_are_none_are_no_answer_and_not_kept(answer: str) -> None:
    async with scripted_venue() as venue, aiohttp.ClientSession() as session:
        exchange, url, running = await in_process(venue)
        try:
            venue.answers["klines"] = lambda request: web.Response(
                text=answer, content_type="application/json"
            )
            asked = f"{url}/api/v3/klines?symbol={SYMBOL}&interval=1h&startTime=1"
            for _ in range(2):
                async with session.get(asked) as response:
                    assert (response.status, (await response.json())["code"]) == (500, -1001)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await exchange.close()
            assert isinstance(exchange.venue, module.MirrorVenue)
            await exchange.venue.mirror.close()


async def test_an_odd_entry_among_many_is_left_out() -> None:
    async with scripted_venue() as venue:
        venue.odd_entries = [{"symbol": "ODD"}, symbol_entry(symbol="NOFILTER", filters=["none"])]
        async with mirror(venue.url) as made:
            info = await made.get("exchangeInfo")
            assert [one["symbol"] for one in info["symbols"]] == [SYMBOL]


async def in_process(venue: ScriptedVenue) -> tuple[PaperExchange, str, asyncio.Task[None]]:
    """Start a mirror on the loop of the test."""
    market = MirrorMarket(MirrorSource(upstream=venue.url))
    await market.open(["BTC/USDT"])
    exchange = PaperExchange(market, PaperOptions(symbols=("BTC/USDT",), balances={"USDT": 1000}))
    ready = await exchange.start()
    return exchange, ready.url, asyncio.create_task(exchange.run())


async def test_what_the_venue_changes_is_changed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ENTRIES_INTERVAL", 0.05)
    async with scripted_venue() as venue, aiohttp.ClientSession() as session:
        exchange, url, running = await in_process(venue)
        try:
            made = Client(url, session)
            await until(lambda: len(venue.streams) == 3)
            await venue.trade("100", "1", seller=False)

            async def entry(**wanted: object) -> bool:
                found = (await made.get("exchangeInfo", symbol=SYMBOL))["symbols"][0]
                return bool(wanted.items() <= found.items())

            await until(lambda: entry(status="TRADING"))
            venue.entry = symbol_entry(status="HALT")
            await until(lambda: entry(status="HALT"))
            assert (await made.order("BUY", "MARKET", quantity="1"))["code"] == -2010
            # A lot that grows is the lot of orders here.
            filters: list[Any] = [*symbol_entry()["filters"]]  # type: ignore[misc]
            filters[1] = {**filters[1], "stepSize": "0.01", "minQty": "0.01"}
            venue.entry = symbol_entry(filters=filters)
            await until(lambda: entry(status="TRADING", filters=filters))
            await venue.trade("100", "1", seller=False)
            refused = await made.order("BUY", "MARKET", quantity="0.105")
            assert refused["msg"] == "Filter failure: LOT_SIZE"
            # What is not listed any more does not trade.
            venue.entry = symbol_entry(symbol="ETHUSDT", baseAsset="ETH")
            await until(lambda: entry(status="BREAK"))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await exchange.close()
            assert isinstance(exchange.venue, module.MirrorVenue)
            await exchange.venue.mirror.close()


def test_losses_are_told_in_words() -> None:
    state = MirrorState(
        **{"venue": "binance", "upstream": "", "stale": False, "reason": "", "connected": True},
        **{"silent": 0.0, "connections": 3, "frames": 9, "malformed": 1, "streams": 3},
        **{"refused_streams": 0, "followed": (), "requests": 1, "weight": 1, "clock_offset": 0},
        **{"staleness": 2, "gaps": 1, "missed_trades": 7, "missed_candles": 0, "resyncs": 3},
    )
    assert state.losses() == (
        "2 reconnections, 1 gap, 7 trades fetched afterwards, 1 unreadable frame"
    )
