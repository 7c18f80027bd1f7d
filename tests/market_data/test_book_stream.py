"""Order books equal the venue's or are not returned, despite faults of frames and connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.clock import MarketClock
from botlib.core.errors import ExchangeError, ExchangeUnavailable, InvalidInput, UnknownSymbol
from botlib.market_data import BookStream, OrderBook, book_stream
from botlib.market_data.book_subscription import BookSubscription
from botlib.market_data.connection import DialLimiter
from botlib.paper import PaperControl, PaperProcess
from botlib.venues.base import BookLevel, DepthSnapshot, DepthUpdate
from botlib.venues.binance import parse
from botlib.venues.binance.api import make_api
from botlib.venues.binance.capabilities import BINANCE
from botlib.venues.binance.venue import BinanceExchange

T0 = 1_767_571_200_000
DEPTH = "btcusdt@depth"
SNAPSHOT = BINANCE.book_levels


def levels(side: dict[int, int], *, up: bool) -> tuple[BookLevel, ...]:
    prices = sorted(side, reverse=not up)
    return tuple(BookLevel(Decimal(price), Decimal(side[price])) for price in prices)


def update(first: int, last: int, bids: object = (), asks: object = ()) -> DepthUpdate:
    def side(rows: object) -> tuple[BookLevel, ...]:
        return tuple(BookLevel(Decimal(price), Decimal(amount)) for price, amount in rows)  # type: ignore[attr-defined]

    return DepthUpdate(first=first, last=last, event_time=T0, bids=side(bids), asks=side(asks))


def snapshot(number: int, bids: dict[int, int], asks: dict[int, int]) -> DepthSnapshot:
    return DepthSnapshot(update_id=number, bids=levels(bids, up=False), asks=levels(asks, up=True))


async def subscribed() -> BookSubscription:
    """Return a subscription that a connection carries."""
    made = BookSubscription("BTC/USDT", SNAPSHOT, lambda one: None, lambda: None)
    made.connect()
    return made


# -- the book by its numbers

Change = tuple[bool, int, int]
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.booleans(), st.integers(1, 8), st.integers(0, 3)), max_size=4),
        st.sampled_from(["come", "come", "come", "lost", "twice", "late"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


@given(steps=STEPS, lags=st.lists(st.integers(0, 4), max_size=30))
def test_a_returned_book_equals_the_venues(
    steps: list[tuple[list[Change], str, bool]], lags: list[int]
) -> None:
    asyncio.run(play(steps, iter(lags)))


async def play(steps: list[tuple[list[Change], str, bool]], lags: object) -> None:
    """Send changes of a book, some lost, doubled or late, and snapshots, some of which lag."""
    bids, asks = {10: 1}, {20: 1}
    history = {1: snapshot(1, bids, asks)}
    one, kept, number = await subscribed(), None, 1
    for changes, fate, asked in steps:
        number += 1
        for up, price, amount in changes:
            side, price = (asks, price + 11) if up else (bids, price)
            if amount:
                side[price] = amount
            else:
                side.pop(price, None)
        history[number] = snapshot(number, bids, asks)
        before = history[number - 1]
        frame = DepthUpdate(
            first=number,
            last=number,
            event_time=T0 + number,
            bids=difference(before.bids, history[number].bids),
            asks=difference(before.asks, history[number].asks),
        )
        for told in {"come": [frame], "lost": [], "twice": [frame, frame], "late": []}[fate]:
            one.on_frame(told)
        if kept is not None:
            one.on_frame(kept)
        kept = frame if fate == "late" else None
        if asked and one.needs_snapshot:
            one.settle(history[max(1, number - next(lags, 0))], T0)  # type: ignore[call-overload]
        book = one.book(500)
        if book is not None:
            truth = history[book.update_id]
            assert (book.bids, book.asks) == (truth.bids, truth.asks)
            assert book.bid is None or book.ask is None or book.bid.price < book.ask.price


def difference(before: tuple[BookLevel, ...], now: tuple[BookLevel, ...]) -> tuple[BookLevel, ...]:
    gone = {level.price for level in before} - {level.price for level in now}
    changed = tuple(level for level in now if level not in before)
    return changed + tuple(BookLevel(price, Decimal(0)) for price in gone)


async def test_a_missing_update_invalidates_the_book_until_the_next_snapshot() -> None:
    one = await subscribed()
    one.on_frame(update(5, 6, asks=[(21, 2)]))
    assert one.settle(snapshot(4, {10: 1}, {20: 1}), T0)
    assert one.book(5) is not None
    one.on_frame(update(8, 9, bids=[(11, 1)]))
    assert one.book(5) is None
    assert (one.status().gaps, one.status().why) == (1, "updates 7 to 7 are missing")
    assert not one.settle(snapshot(6, {10: 1}, {20: 1}), T0), "a snapshot that lags leads to a gap"
    one.on_frame(update(10, 10))
    assert one.settle(snapshot(8, {10: 1}, {20: 1}), T0)
    book = one.book(5)
    assert book is not None
    assert (book.update_id, book.bids[0].price, len(book.asks)) == (10, 11, 1)


async def test_crossed_sides_invalidate_the_book() -> None:
    one = await subscribed()
    assert not one.settle(snapshot(4, {20: 1}, {20: 1}), T0)
    assert one.settle(snapshot(4, {10: 1}, {20: 1}), T0)
    one.on_frame(update(5, 5, bids=[(20, 1)]))
    assert one.book(5) is None
    assert "crossed" in one.status().why


async def test_levels_beyond_the_snapshot_are_not_invented() -> None:
    one = await subscribed()
    asks = {price: 1 for price in range(2_000, 2_000 + SNAPSHOT)}
    assert one.settle(snapshot(1, {10: 1}, asks), T0)
    last = max(asks)
    # Above the last level of the snapshot there are levels that are not known.
    one.on_frame(update(2, 2, asks=[(last + 7, 1), (last, 0)]))
    book = one.book(500)
    assert book is not None and len(book.asks) == 500 and len(book.bids) == 1
    one.on_frame(update(3, 3, asks=[(price, 0) for price in range(2_000, 2_600)]))
    assert one.book(500) is None
    assert one.book(300) is not None


# -- as the venue spells it


@pytest.mark.parametrize(
    "changes",
    [
        {"U": 7},
        {"u": "6"},
        {"E": None},
        {"b": [["NaN", "1"]]},
        {"b": [["1"]]},
        {"a": [["-1", "1"]]},
        {"a": [["1", "-1"]]},
        {"a": None},
    ],
)
def test_impossible_changes_are_refused(changes: dict[str, object]) -> None:
    raw = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 5, "u": 6, "b": [["1.50", "0.00"]]}
    assert parse.depth_update({**raw, "a": []}).bids == ((Decimal("1.5"), Decimal(0)),)
    with pytest.raises(InvalidInput, match="change of an order book"):
        parse.depth_update({**raw, "a": [], **changes})
    with pytest.raises(ExchangeError, match="order book"):
        parse.depth_snapshot({"lastUpdateId": 1, "bids": [["x", "1"]], "asks": []})


# -- how it is shown


def test_a_book_is_displayed_as_a_line_and_as_a_card() -> None:
    shown = OrderBook(
        symbol="BTC/USDT",
        timestamp=T0,
        update_id=7,
        bids=(BookLevel(Decimal("1000.0"), Decimal("2.50")), BookLevel(Decimal(999), Decimal(1))),
        asks=(BookLevel(Decimal("1001"), Decimal("0.1")),),
    )
    assert repr(shown) == (
        "<OrderBook BTC/USDT · 2026-01-05 00:00:00 UTC · bid 1\u2009000 × 2.5 · "
        "ask 1\u2009001 × 0.1 · 2+1 levels>"
    )
    text = BeautifulSoup(shown._repr_html_(), "html.parser").get_text(" ")
    assert "1\u2009000.5" in text and "10.00 bp" in text and "999" in text
    assert shown.spread == pytest.approx(1 / 1000.5)
    assert shown.frame().to_dict("list") == {
        "side": ["bid", "bid", "ask"],
        "price": [1000.0, 999.0, 1001.0],
        "amount": [2.5, 1.0, 0.1],
    }
    empty = OrderBook(symbol="BTC/USDT", timestamp=T0, update_id=7, bids=(), asks=())
    assert (empty.mid, empty.spread, len(empty.frame())) == (None, None, 0)
    assert "bid none" in repr(empty)
    assert "–" in empty._repr_html_()


# -- over real sockets


@asynccontextmanager
async def following(
    paper: PaperProcess, *, deadline: float = 30.0
) -> AsyncIterator[tuple[BookStream, BinanceExchange, PaperControl]]:
    control = paper.control()
    exchange = BinanceExchange(venue=paper.venue, rest_url=paper.url)
    await exchange.connect()
    stream = BookStream(
        exchange,
        MarketClock(T0),
        DialLimiter(BINANCE.dial_burst, BINANCE.dial_rate),
        data_deadline=deadline,
    )
    task = asyncio.get_running_loop().create_task(stream.run())
    try:
        yield stream, exchange, control
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await exchange.close()
        await control.close()


async def advance(control: PaperControl) -> None:
    """Advance the market by a minute."""
    now = (await control.state())["market_time"]
    await control.advance(["btcusdt@kline_1m"], now)


async def same(stream: BookStream, exchange: BinanceExchange, count: int = 20) -> OrderBook:
    """Return the book, after comparing it with the venue's answer while the market stands."""
    truth = await exchange.fetch_depth("BTC/USDT", count)
    async with asyncio.timeout(60):
        # What is on its way comes first.
        book = await stream.book("BTCUSDT", count, 60)
        while book.update_id < truth.update_id:
            await asyncio.sleep(0.01)
            book = await stream.book("BTCUSDT", count, 60)
    assert (book.update_id, book.bids, book.asks) == (truth.update_id, truth.bids, truth.asks)
    return book


async def test_a_book_equals_the_venues_after_every_price_and_every_gap(
    paper: PaperProcess,
) -> None:
    async with following(paper) as (stream, exchange, control):
        await same(stream, exchange)
        for _ in range(3):
            await advance(control)
            await same(stream, exchange)
        assert stream.status()[0].gaps == 0, "the stream goes on from the snapshot"
        for kind, details in (
            ("drop", {}),
            ("corrupt", {}),
            ("corrupt", {"values": {"U": "1"}}),
            ("corrupt", {"values": {"b": [["1000000000", "1"]]}}),
        ):
            before = stream.status()[0]
            await control.fault(kind, match=DEPTH, **details)
            await advance(control)
            await same(stream, exchange)
            now = stream.status()[0]
            assert now.gaps > before.gaps and now.snapshots > before.snapshots, kind
        assert stream.bad_frames == 2
        assert [one.dials for one in stream.connections()] == [1]
        await control.fault("duplicate", match=DEPTH, count=4)
        await advance(control)
        await same(stream, exchange)
        assert stream.status()[0].gaps == now.gaps, "what comes twice is no gap"


async def test_the_order_book_of_ccxt_is_the_same(paper: PaperProcess) -> None:
    ws_url = paper.url.replace("http", "ws")
    ccxt = make_api(rest_url=paper.url, ws_url=ws_url, key=None, secret=None)
    async with following(paper) as (stream, exchange, control):
        try:
            async with asyncio.timeout(60):
                theirs = await ccxt.watch_order_book("BTC/USDT")
                for _ in range(3):
                    await advance(control)
                    ours = await same(stream, exchange)
                    while theirs["nonce"] < ours.update_id:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                    for side, mine in (("bids", ours.bids), ("asks", ours.asks)):
                        assert theirs[side][:20] == [[float(p), float(a)] for p, a in mine]
        finally:
            session = ccxt.session
            await ccxt.close()
            await session.close()


async def test_no_stale_book_is_returned_after_a_cut_or_on_a_silent_connection(
    paper: PaperProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_stream, "FRESH", 0.2)
    async with following(paper) as (stream, exchange, control):
        await same(stream, exchange)
        await control.fault("reset", target="streams")
        await advance(control)
        await same(stream, exchange)
        # A stream that tells nothing any more looks like a market that stands still.
        await control.fault("stall", target="streams")
        await advance(control)
        await asyncio.sleep(0.3)
        await same(stream, exchange)
        assert stream.status()[0].gaps >= 1


async def test_a_connection_without_data_is_dialled_again(paper: PaperProcess) -> None:
    async with following(paper, deadline=1.0) as (stream, exchange, _):
        await same(stream, exchange)
        async with asyncio.timeout(60):
            while stream.connections()[0].dials < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "no depth frame for 1 s" in stream.connections()[0].last_loss
        await same(stream, exchange)


async def test_a_missing_snapshot_is_named_in_the_error(paper: PaperProcess) -> None:
    async with following(paper) as (stream, exchange, control):
        await same(stream, exchange)
        await control.fault("http_status", match="depth", status=503, count=10_000)
        await control.fault("drop", match=DEPTH)
        await advance(control)
        async with asyncio.timeout(60):
            while stream.status()[0].failures == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        with pytest.raises(ExchangeUnavailable, match=r"order book of BTC/USDT .* not in step"):
            await stream.book("BTC/USDT", 20, 0.2)
        await control.fault("http_status", match="depth", count=0)
        await control.fault("clear")
        await same(stream, exchange)


async def test_unknown_symbols_and_impossible_level_counts_are_refused(paper: PaperProcess) -> None:
    async with following(paper) as (stream, *_):
        for count in (0, 501, 2.0, True, "20"):
            with pytest.raises(InvalidInput, match="from 1 to 500"):
                await stream.book("BTC/USDT", count, 1)  # type: ignore[arg-type]
        with pytest.raises(UnknownSymbol, match="does not list"):
            await stream.book("FOO/BAR", 5, 1)
