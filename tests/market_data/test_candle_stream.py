"""The candle stream against a real paper exchange over real sockets, with faults."""

from __future__ import annotations

import asyncio
import json

import pytest

from botlib.core.errors import StoreError, UnknownSymbol, UnknownTimeframe
from botlib.core.model import CandleClosed, CandleSource, CandleUpdated
from botlib.market_data.candle_stream import BACKLOG_HIGH
from botlib.market_data.connection import DialLimiter
from botlib.paper import PaperProcess
from botlib.venues.base import BadFrameSink
from botlib.venues.binance import socket
from botlib.venues.binance.capabilities import BINANCE
from botlib.venues.binance.socket import KlineSocket
from tests.support.stream_rig import MINUTE, MakeRig, Rig, values


async def lost(rig: Rig, count: int = 1) -> None:
    """Wait until a connection was given up."""
    await rig.until(lambda: sum(c.dials for c in rig.stream.status().connections) > count)


async def test_history_comes_first_then_live_candles_in_order_stored_before_published(
    rig: MakeRig,
) -> None:
    async with rig(("BTCUSDT", "ETH/USDT"), ("1m", "5m"), history=30) as r:
        for symbol in ("BTC/USDT", "ETH/USDT"):
            await r.until(lambda symbol=symbol: len(r.closed(symbol, "5m")) == 30)
            assert [e.backfilled for e in r.closed(symbol, "5m")] == [True] * 30
        live = [await r.step() for _ in range(6)]
        assert [e.backfilled for e in live] == [False] * 6
        assert {e.candle.source for e in live} == {CandleSource.STREAM}
        assert all(e.event_time >= e.candle.timestamp + MINUTE for e in live)
        for symbol in ("BTC/USDT", "ETH/USDT"):
            await r.until(lambda symbol=symbol: len(r.closed(symbol, "1m")) == 36)
            for timeframe in ("1m", "5m"):
                await r.check_order(symbol, timeframe)
        assert r.gaps() == []
        await r.until(lambda: r.progress == sum(isinstance(e, CandleClosed) for e in r.events))
        status = r.stream.status()
        assert status.ready
        assert len(status.connections) == 1
        assert {(s.duplicates, s.late, s.bad_frames) for s in status.subscriptions} == {(0, 0, 0)}


async def test_stored_candles_are_not_fetched_again(rig: MakeRig) -> None:
    async with rig(history=20) as r:
        await r.until(lambda: len(r.closed()) == 20)
    async with rig(history=25) as r:
        await r.step()
        assert [e.backfilled for e in r.closed()] == [True] * 5 + [False]
        assert r.storage.counts() == {("BTC/USDT", "1m"): 26}


async def test_both_forms_of_a_symbol_are_one_subscription(rig: MakeRig) -> None:
    async with rig(("BTCUSDT", "BTC/USDT", "btcusdt")) as r:
        await r.stream.subscribe_candles("BTCUSDT", "1m")
        assert len(r.stream.status().subscriptions) == 1
        await r.step()
        await r.check_order()


async def test_unknown_names_are_refused_with_a_suggestion(rig: MakeRig) -> None:
    async with rig() as r:
        with pytest.raises(UnknownTimeframe):
            await r.stream.subscribe_candles("BTC/USDT", ["1m", "7m"])
        with pytest.raises(UnknownSymbol, match="Cannot read"):
            await r.stream.subscribe_candles("nonsense!", "1m")


@pytest.mark.parametrize(
    ("kind", "details"),
    [("reset", {}), ("close", {"code": 1001}), ("close", {"code": 1012})],
)
async def test_the_candle_that_closed_during_a_cut_is_found_and_still_live(
    rig: MakeRig, kind: str, details: dict[str, int]
) -> None:
    async with rig() as r:
        await r.step()
        await r.control.fault(kind, target="streams", **details)
        # Nobody listens now: in lockstep this candle comes by REST or never.
        event = await r.step()
        assert event.candle.source is CandleSource.REST
        assert not event.backfilled
        await lost(r)
        await r.until(lambda: r.stream.status().ready)
        assert (await r.step()).candle.source is CandleSource.STREAM
        await r.check_order()
        gap = r.gaps()[0]
        assert (gap.start, gap.end, gap.candles, gap.holes) == (
            event.candle.timestamp,
            event.candle.timestamp,
            1,
            0,
        )


@pytest.mark.parametrize("kind", ["stall", "blackhole"])
async def test_a_socket_without_data_is_dialled_again_although_it_is_open(
    rig: MakeRig, kind: str
) -> None:
    async with rig(data_deadline=1.0) as r:
        await r.step()
        await r.control.fault(kind, target="streams")
        event = await r.step()
        assert not event.backfilled
        assert "no candle frame for 1 s" in r.stream.status().connections[0].last_loss
        await r.check_order()


async def test_of_several_missed_candles_only_the_newest_is_live(rig: MakeRig) -> None:
    # Not so short that it passes on a busy machine before the market has run on.
    async with rig(data_deadline=3.0) as r:
        await r.step()
        before = len(r.closed())
        await r.control.fault("stall", target="streams")
        last = await r.advance(5)
        await r.until(lambda: r.closed()[-1].candle.timestamp == last)
        assert [e.backfilled for e in r.closed()[before:]] == [True] * 4 + [False]
        await r.check_order()
        assert [g.candles for g in r.gaps()] == [5]


async def test_impossible_frames_are_counted_and_kept_and_change_nothing(
    rig: MakeRig,
) -> None:
    def frame(k: dict[str, object], **changes: object) -> str:
        base = {"t": 0, "s": "BTCUSDT", "i": "1m", "x": False}
        base |= {"o": "1", "h": "1", "l": "1", "c": "1", "v": "1"} | k
        return json.dumps({"e": "kline", "E": 1, "s": "BTCUSDT", "k": base} | changes)

    # A forming candle is parsed when a subscriber wants it, and its flaws are noticed then.
    async with rig(updates=True) as r:
        await r.step()
        now = r.stream.clock.now()
        texts = [
            '{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":',
            "[]",
            '"text"',
            "null",
            '{"e":"somethingNew","E":1}',
            '{"error":{"code":2,"msg":"Invalid request"}}',
            frame({"t": now, "o": "NaN"}, E=now + 1),
            frame({"t": now, "h": "0.5", "x": True}, E=now + MINUTE),
            frame({"t": now + 17}, E=now + 18),
            frame({"t": str(now)}, E=now + 1),
            frame({"t": now, "x": "true"}, E=now + MINUTE),
            frame({"t": now + MINUTE, "x": True}, E=now + 4_000_000_000_000),
            frame({"t": now + 60 * MINUTE}, E=now + 1),
            frame({}, s="NEVERHEARD"),
        ]
        for text in texts:
            await r.control.fault("malformed", target="streams", text=text)
        await r.until(lambda: r.stream.status().bad_frames == len(texts))
        assert len(r.stream.quarantine) == len(texts)
        assert r.stream.clock.now() <= now + 1
        event = await r.step()
        assert (event.candle.source, event.backfilled) == (CandleSource.STREAM, False)
        await r.check_order()
        assert r.stream.status().connections[0].reconnects == 0


async def test_a_closing_frame_that_never_came_is_confirmed_by_rest(rig: MakeRig) -> None:
    async with rig(timeframes=("1m", "5m")) as r:
        await r.step()
        await r.control.fault("drop_closing", match="btcusdt@kline_1m", count=1)
        event = await r.step()
        assert (event.candle.source, event.backfilled) == (CandleSource.REST, False)
        assert (await r.step()).candle.source is CandleSource.STREAM
        await r.check_order()
        assert [(g.candles, g.holes) for g in r.gaps()] == [(1, 0)]


async def test_duplicate_and_late_frames_lead_to_one_candle_each(rig: MakeRig) -> None:
    async with rig() as r:
        await r.step()
        await r.control.fault("duplicate", count=12)
        await r.control.fault("late", count=12)
        for _ in range(6):
            await r.step()
        await r.check_order()
        status = r.stream.status().subscriptions[0]
        assert status.duplicates > 0
        assert status.late + status.duplicates >= 6
        assert r.stream.status().revisions == 0
        assert r.gaps() == []


async def test_after_an_announced_shutdown_a_new_connection_opens_before_the_old_one_ends(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig() as r:
        await r.step()
        dial, sockets = r.exchange.open_klines, 0

        async def watched(on_bad: BadFrameSink) -> KlineSocket:
            nonlocal sockets
            connection = await dial(on_bad)
            sockets = (await r.control.state())["counters"]["stream_sockets"]
            return connection

        monkeypatch.setattr(r.exchange, "open_klines", watched)
        await r.control.fault(
            "malformed", target="streams", text='{"e":"serverShutdown","E":1767571200000}'
        )
        await lost(r)
        await r.step()
        await r.step()
        await r.check_order()
        assert r.gaps() == []
        assert "shutdown" in r.stream.status().connections[0].last_loss
        assert sockets == 2
        assert (await r.control.state())["counters"]["stream_sockets"] == 1


async def test_an_old_connection_is_renewed_without_a_gap(rig: MakeRig) -> None:
    async with rig(max_age=0.4) as r:
        for _ in range(3):
            await r.step()
            await lost(r, r.stream.status().connections[0].dials)
        await r.check_order()
        assert r.gaps() == []
        assert "older than" in r.stream.status().connections[0].last_loss


async def test_while_missing_candles_cannot_be_fetched_the_subscription_is_not_ready(
    rig: MakeRig,
) -> None:
    async with rig() as r:
        await r.step()
        await r.control.fault("http_status", match="klines", status=503, count=3)
        await r.control.fault("drop_closing", match="1m", count=1)
        timestamp = await r.advance()
        await r.until(lambda: r.stream.status().subscriptions[0].failures > 0)
        assert not r.stream.status().ready
        assert r.closed()[-1].candle.timestamp < timestamp
        await r.until(lambda: r.stream.status().ready)
        assert r.closed()[-1].candle.timestamp == timestamp
        assert r.stream.status().subscriptions[0].failures == 3
        await r.check_order()


async def test_subscriptions_beyond_the_limit_of_a_connection_get_more_connections(
    rig: MakeRig,
) -> None:
    async with rig(("BTC/USDT", "ETH/USDT"), ("1m", "5m"), history=3, max_streams=3) as r:
        assert [c.subscriptions for c in r.stream.status().connections] == [3, 1]
        # While it runs: first the room that is left, then another connection.
        await r.stream.subscribe_candles("SOL/USDT", ["1m", "5m", "15m"], history=3)
        async with asyncio.timeout(60):
            await r.stream.ready()
        assert [c.subscriptions for c in r.stream.status().connections] == [3, 3, 1]
        await r.advance(16)
        for symbol, timeframe in (("BTC/USDT", "1m"), ("ETH/USDT", "5m"), ("SOL/USDT", "15m")):
            await r.until(lambda s=symbol, t=timeframe: len(r.closed(s, t)) > 3)
            await r.check_order(symbol, timeframe)


async def test_many_subscriptions_are_made_in_batches_the_venue_allows(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "STREAMS_PER_REQUEST", 2)
    timeframes = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
    # Six requests in a row; the venue cuts a socket at more than five messages a second.
    async with rig(timeframes=timeframes, history=1) as r:
        await r.advance(3)
        await r.until(lambda: len(r.closed("BTC/USDT", "1m")) == 4)
        assert [c.dials for c in r.stream.status().connections] == [1]


async def test_forming_candles_are_published_to_a_subscriber(rig: MakeRig) -> None:
    async with rig(updates=True) as r:
        event = await r.step()
        await r.until(lambda: any(isinstance(e, CandleUpdated) for e in r.events))
        await r.advance()

        def newest() -> CandleUpdated:
            return [e for e in r.events if isinstance(e, CandleUpdated)][-1]

        await r.until(lambda: newest().candle.timestamp > event.candle.timestamp + MINUTE)
        assert not newest().candle.closed
        assert newest().event_time >= newest().candle.timestamp


async def test_forming_candles_are_not_built_without_a_subscriber(rig: MakeRig) -> None:
    async with rig() as r:
        for _ in range(3):
            await r.step()
        assert "CandleUpdated" not in r.bus.published


async def test_a_long_gap_is_fetched_page_by_page(rig: MakeRig) -> None:
    async with rig(data_deadline=300.0) as r:
        await r.step()
        before = len(r.closed())
        await r.control.fault("stall", target="streams")
        # More than 25 hours: more candles than one answer holds.
        await r.advance(26, stream="btcusdt@kline_1h")
        await r.control.fault("reset", target="streams")
        await r.until(lambda: len(r.closed()) >= before + 1_500)
        await r.until(lambda: r.stream.status().ready)
        await r.check_order()
        # Old news but for the newest one.
        assert [e.backfilled for e in r.closed()[before:]].count(False) == 1
        assert not r.closed()[-1].backfilled
        assert r.closed()[-1].candle.timestamp + MINUTE == r.stream.clock.now()


async def test_a_candle_that_cannot_be_stored_is_not_published_and_ends_the_stream(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = 0
    with pytest.raises(ExceptionGroup) as caught:
        async with rig() as r:
            await r.step()
            published = len(r.events)

            def full(*args: object, **kwargs: object) -> None:
                raise StoreError("the disk is full")

            monkeypatch.setattr(r.storage, "write", full)
            await r.advance()
            await asyncio.sleep(20)
    assert caught.group_contains(StoreError, match="disk is full", depth=1)
    assert len(r.events) == published


async def test_the_stream_can_be_run_again_and_continues_where_it_stopped(rig: MakeRig) -> None:
    async with rig() as r:
        await r.step()
        before = len(r.closed())
        again = r.stream
        # A second run beside the first is refused.
        with pytest.raises(Exception, match="runs already"):
            await again.run()
        await r.step()
        assert len(r.closed()) == before + 1


async def test_more_history_requested_later_is_fetched_but_not_published(rig: MakeRig) -> None:
    async with rig(history=5) as r:
        await r.step()
        assert r.storage.counts() == {("BTC/USDT", "1m"): 6}
        await r.stream.subscribe_candles("BTCUSDT", "1m", history=1_200)
        async with asyncio.timeout(60):
            await r.stream.ready()
        assert r.storage.counts() == {("BTC/USDT", "1m"): 1_200}
        assert len(r.closed()) == 6
        await r.step()
        await r.check_order()


async def test_a_revision_is_stored_and_counted_and_never_a_second_candle(rig: MakeRig) -> None:
    async with rig() as r:
        candle = (await r.step()).candle
        kline = {"t": candle.timestamp, "s": "BTCUSDT", "i": "1m", "x": True}
        kline |= {"o": str(candle.open), "h": str(candle.high), "l": str(candle.low)}
        kline |= {"c": str(candle.close), "v": str(candle.volume + 1)}
        frame = {"e": "kline", "E": r.stream.clock.now(), "s": "BTCUSDT", "k": kline}
        await r.control.fault("malformed", target="streams", text=json.dumps(frame))
        await r.until(lambda: r.stream.status().revisions == 1)
        stored = r.storage.candles("BTC/USDT", "1m", candle.timestamp, candle.timestamp)
        assert [c.volume for c in stored] == [candle.volume + 1]
        await r.step()
        assert len([e for e in r.closed() if e.candle.timestamp == candle.timestamp]) == 1


async def test_a_market_at_full_speed_waits_for_a_slow_subscriber(rig: MakeRig) -> None:
    arguments = ["--seed", "9", "--speed", "max", "--start", "2026-01-05"]
    async with await PaperProcess.start(arguments) as process, rig(process=process) as r:
        slow = r.bus.subscribe(CandleClosed, name="slow", maxsize=6_000)
        await r.until(lambda: len(slow) > BACKLOG_HIGH)
        reached = len(slow)
        # The market would make thousands of candles meanwhile.
        await asyncio.sleep(1.0)
        assert not slow.closed
        assert len(slow) < reached + 2_000
        first = (await slow.get()).candle.timestamp
        for number in range(1, 3 * BACKLOG_HIGH):
            assert (await slow.get()).candle.timestamp == first + number * MINUTE


async def test_dials_stay_below_the_venues_limit() -> None:
    gate = DialLimiter(burst=3, rate=1_000.0)
    async with asyncio.timeout(60):
        for _ in range(50):
            await gate.wait()
    default = DialLimiter(BINANCE.dial_burst, BINANCE.dial_rate)
    assert default._burst + default._rate * 300 < 300


async def test_a_revision_during_a_cut_is_noticed_afterwards(rig: MakeRig) -> None:
    async with rig() as r:
        await r.step()
        await r.control.fault("corrupt", match="kline", values={"k.v": "999.5"}, count=1_000)
        event = await r.step()
        assert event.candle.volume == 999.5
        await r.control.fault("clear")
        await r.control.fault("reset", target="streams")
        await r.until(lambda: r.stream.status().revisions == 1)
        [stored] = r.storage.candles("BTC/USDT", "1m", limit=1)
        [truth] = await r.truth("BTC/USDT", "1m", stored.timestamp, stored.timestamp)
        assert values(stored) == values(truth) and stored.source is CandleSource.REST
        await r.step()
        # It was told of once, as it was then.
        assert [e.candle.volume for e in r.closed() if e.candle.timestamp == stored.timestamp] == [
            999.5
        ]


async def test_an_ended_subscription_brings_no_candle_and_stays_away_after_a_cut(
    rig: MakeRig,
) -> None:
    async with rig(("BTC/USDT", "ETH/USDT")) as r:
        await r.step()
        await r.stream.unsubscribe_candles("ETH/USDT", "1m")
        assert [one.symbol for one in r.stream.status().subscriptions] == ["BTC/USDT"]
        before = len(r.closed("ETH/USDT"))
        for _ in range(3):
            await r.step()
        await r.control.fault("reset", target="streams")
        await lost(r)
        await r.until(lambda: r.stream.status().ready)
        for _ in range(3):
            await r.step()
        assert len(r.closed("ETH/USDT")) == before
        assert r.stream.status().bad_frames == 0
        await r.check_order()


async def test_a_subscription_that_was_ended_can_be_made_again_without_a_gap(rig: MakeRig) -> None:
    async with rig(("BTC/USDT", "ETH/USDT")) as r:
        await r.step()
        await r.stream.unsubscribe_candles("ETH/USDT", "1m")
        await r.stream.unsubscribe_candles("ETH/USDT", "1m")
        await r.step()
        await r.stream.subscribe_candles("ETH/USDT", "1m", 10)
        async with asyncio.timeout(60):
            await r.stream.ready([("ETH/USDT", "1m")])
        timestamp = (await r.step()).candle.timestamp
        await r.until(lambda: r.closed("ETH/USDT")[-1].candle.timestamp == timestamp)
        end = timestamp + MINUTE
        stored = r.storage.candles("ETH/USDT", "1m", end - 8 * MINUTE, end)
        assert [one.timestamp for one in stored] == list(range(end - 8 * MINUTE, end, MINUTE))
