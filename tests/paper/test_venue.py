"""The running market: the order of frames, halts, the end, and lockstep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from botlib.core.errors import PaperExchangeError
from botlib.core.timeframe import MINUTE
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.market.synthetic import SyntheticMarket

LOCKSTEP = MarketPace(None, lockstep=True)
MAX = MarketPace(None)
Candles = Callable[..., ReplayMarket]


def flat(minutes: Any, price: float = 10.0) -> dict[int, tuple[float, ...]]:
    return {minute: (price, price + 1, price - 1, price, 1.0) for minute in minutes}


def brief(frame: Any, start: int) -> tuple[str, str, int, bool]:
    k = frame["k"]
    return frame["s"], k["i"], (k["t"] - start) // MINUTE, k["x"]


async def test_closing_frames_are_sent_first_at_the_next_open(
    serve: Any, candles: Candles, start_time: int
) -> None:
    market = candles(
        BTCUSDT={m: (10 + m, 12 + m, 9 + m, 11 + m, 1.5) for m in range(10)},
        ETHUSDT=flat(range(10), 5.0),
    )
    served = await serve(market, pace=LOCKSTEP, start=start_time + 4 * MINUTE)
    names = ["btcusdt@kline_5m", "btcusdt@kline_1m", "ethusdt@kline_1m"]
    listener = await served.listen(*names)
    snapshot = [brief(frame, start_time) for frame in await listener.many(3)]
    assert snapshot == [
        ("BTCUSDT", "5m", 0, False),
        ("BTCUSDT", "1m", 4, False),
        ("ETHUSDT", "1m", 4, False),
    ]
    assert await served.advance("btcusdt@kline_5m") == [("BTCUSDT", "5m", start_time)]
    await listener.many(9)  # three prices inside the candle
    boundary = await listener.many(6)
    assert [brief(frame, start_time) for frame in boundary] == [
        ("BTCUSDT", "1m", 4, True),
        ("ETHUSDT", "1m", 4, True),
        ("BTCUSDT", "5m", 0, True),
        ("BTCUSDT", "5m", 5, False),
        ("BTCUSDT", "1m", 5, False),
        ("ETHUSDT", "1m", 5, False),
    ]
    assert {frame["E"] for frame in boundary} == {start_time + 5 * MINUTE}
    closing = boundary[2]["k"]
    assert [float(closing[name]) for name in "ohlcv"] == [10, 16, 9, 15, 7.5]
    # The new price is in force: an order after the closing frame fills at the next open.
    order = await served.order("BUY", "MARKET", quantity="1")
    assert [fill["price"] for fill in order["fills"]] == ["15.00000000"]
    # REST returns the same closed candle.
    row = (await served.get("klines", symbol="BTCUSDT", interval="5m", limit=2))[0]
    assert [row[i] for i in (0, 1, 2, 3, 4, 5, 7, 8)] == [
        closing[name] for name in ("t", "o", "h", "l", "c", "v", "q", "n")
    ]


async def test_forming_klines_follow_the_prices_inside_a_candle(
    serve: Any, candles: Candles, start_time: int
) -> None:
    market = candles(BTCUSDT={0: (10, 14, 9, 12, 2), 1: (12, 12, 12, 12, 1)})
    served = await serve(market, pace=LOCKSTEP)
    listener = await served.listen("btcusdt@kline_1m")
    await served.advance("btcusdt@kline_1m")
    frames = await listener.many(6)
    closes = [float(frame["k"]["c"]) for frame in frames]
    assert closes == [10, 9, 14, 12, 12, 12]
    highs = [float(frame["k"]["h"]) for frame in frames[:5]]
    assert highs == sorted(highs) and highs[-1] == 14
    volumes = [float(frame["k"]["v"]) for frame in frames[:4]]
    assert volumes == sorted(volumes) and volumes[-1] == 2
    assert [frame["k"]["x"] for frame in frames] == [False] * 4 + [True, False]


async def test_lockstep_waits_for_acknowledgements_and_repeats_a_lost_answer(
    serve: Any, candles: Candles, start_time: int
) -> None:
    served = await serve(candles(BTCUSDT=flat(range(10))), pace=LOCKSTEP)
    stream = "btcusdt@kline_1m"
    first = await served.control.advance([stream], start_time)
    assert first.market_time == start_time + MINUTE
    # The market does not move when sockets open and close.
    listener = await served.listen(stream)
    await listener.ws.close()
    assert (await served.control.state())["market_time"] == first.market_time
    # A repeated request has the same answer.
    assert await served.control.advance([stream], start_time) == first
    second = await served.control.advance([stream], first.market_time)
    assert second.market_time == start_time + 2 * MINUTE
    # The answer has all candles since then, not only the newest.
    again = await served.control.advance([stream], start_time)
    assert [candle.timestamp for candle in again.closed] == [start_time, start_time + MINUTE]


async def test_lockstep_runs_to_the_close_of_a_higher_candle(
    serve: Any, candles: Candles, start_time: int
) -> None:
    served = await serve(candles(BTCUSDT=flat(range(40))), pace=LOCKSTEP)
    closed = await served.advance("btcusdt@kline_15m")
    assert closed == [("BTCUSDT", "15m", start_time)]
    assert served.venue.market_time == start_time + 15 * MINUTE


async def test_an_incomplete_higher_candle_at_the_end_never_closes(
    serve: Any, candles: Candles, start_time: int
) -> None:
    served = await serve(candles(BTCUSDT=flat(range(17))), pace=LOCKSTEP)
    streams = ["btcusdt@kline_1m", "btcusdt@kline_15m"]
    closed, time, ended = [], start_time, False
    while not ended:
        step = await served.control.advance(streams, time)
        time, ended = step.market_time, step.ended
        closed += step.closed
    minutes = [candle.timestamp for candle in closed if candle.timeframe == "1m"]
    assert minutes == [start_time + n * MINUTE for n in range(17)]
    assert [candle.timestamp for candle in closed if candle.timeframe == "15m"] == [start_time]


async def test_an_advance_that_times_out_stops_the_market_again(
    serve: Any, candles: Candles, start_time: int
) -> None:
    served = await serve(candles(BTCUSDT=flat(range(40))), pace=MarketPace(60.0, lockstep=True))
    slow = await served.control.advance(["btcusdt@kline_15m"], start_time, timeout=0.01)
    assert slow.closed == [] and not slow.ended
    done = await served.control.advance(["btcusdt@kline_1m"], start_time)
    assert [candle.timestamp for candle in done.closed] == [start_time]


async def test_a_pause_stops_lockstep_too(serve: Any, candles: Candles, start_time: int) -> None:
    served = await serve(candles(BTCUSDT=flat(range(10))), pace=LOCKSTEP)
    await served.control.pause()
    held = await served.control.advance(["btcusdt@kline_1m"], start_time, timeout=0.1)
    assert held.closed == [] and held.market_time == start_time
    await served.control.resume()
    assert await served.advance("btcusdt@kline_1m") == [("BTCUSDT", "1m", start_time)]


@pytest.mark.parametrize(
    ("streams", "ahead", "words"),
    [
        ([], 0, "without a stream"),
        (["btcusdt@trade"], 0, "not a kline stream"),
        (["xrpusdt@kline_1m"], 0, "not a kline stream"),
        (["btcusdt@kline_7m"], 0, "not a kline stream"),
        (["btcusdt@kline_1m"], 1, "Cannot acknowledge"),
    ],
)
async def test_an_invalid_advance_is_refused(
    serve: Any, candles: Candles, start_time: int, streams: list[str], ahead: int, words: str
) -> None:
    served = await serve(candles(BTCUSDT=flat(range(3))), pace=LOCKSTEP)
    with pytest.raises(PaperExchangeError, match=words):
        await served.control.advance(streams, start_time + ahead)


async def test_only_a_market_in_lockstep_can_be_advanced(serve: Any, candles: Candles) -> None:
    served = await serve(candles(BTCUSDT=flat(range(3))), pace=MAX)
    with pytest.raises(PaperExchangeError, match="--lockstep"):
        await served.control.advance(["btcusdt@kline_1m"], 0)


async def test_a_halt_closes_its_last_candle_when_trading_resumes(
    serve: Any, candles: Candles, start_time: int
) -> None:
    market = candles(BTCUSDT=flat((*range(4), *range(34, 40))))
    served = await serve(market, pace=LOCKSTEP, start=start_time + 2 * MINUTE)
    streams = ["btcusdt@kline_1m", "btcusdt@kline_5m", "btcusdt@kline_1h"]
    listener = await served.listen(*streams)
    await served.advance(*streams)
    assert served.venue.market_time == start_time + 3 * MINUTE
    closed = await served.advance(*streams)
    assert served.venue.market_time == start_time + 34 * MINUTE
    assert closed == [("BTCUSDT", "1m", start_time + 3 * MINUTE), ("BTCUSDT", "5m", start_time)]
    closing = [f for f in await listener.many(3 + 9 + 1 + 3 + 9 + 2) if f["k"]["x"]]
    assert [frame["E"] - start_time for frame in closing] == [3 * MINUTE] + [34 * MINUTE] * 2


async def test_a_halt_of_one_symbol_refuses_only_its_orders(
    serve: Any, candles: Candles, start_time: int
) -> None:
    market = candles(BTCUSDT=flat((0, 1, 5, 6)), ETHUSDT=flat(range(7)))
    served = await serve(market, pace=LOCKSTEP)
    streams = ["btcusdt@kline_1m", "ethusdt@kline_1m"]
    seen = [await served.advance(*streams) for _ in range(4)]
    names = [{name for name, _, _ in closed} for closed in seen]
    assert names == [{"BTCUSDT", "ETHUSDT"}, {"ETHUSDT"}, {"ETHUSDT"}, {"ETHUSDT"}]
    code = await served.refused(
        "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1"
    )
    assert code == -2010
    info = await served.get("exchangeInfo", symbol="BTCUSDT")
    assert info["symbols"][0]["status"] == "BREAK"
    assert {name for name, _, _ in await served.advance(*streams)} == {"BTCUSDT", "ETHUSDT"}
    await served.order("BUY", "MARKET", quantity="1")


async def test_the_last_candles_close_once_at_the_end(
    serve: Any, candles: Candles, start_time: int
) -> None:
    market = candles(BTCUSDT=flat(range(2)), ETHUSDT=flat(range(4)))
    served = await serve(market, pace=MAX)
    listener = await served.listen("btcusdt@kline_1m", "ethusdt@kline_1m", "btcusdt@kline_1h")
    closing: list[tuple[str, str, int, int]] = []
    while len(closing) < 6:
        frame = await listener.next()
        if frame["k"]["x"]:
            name, timeframe, minute, _ = brief(frame, start_time)
            closing.append((name, timeframe, minute, (frame["E"] - start_time) // MINUTE))
    assert closing == [
        ("BTCUSDT", "1m", 0, 1),
        ("ETHUSDT", "1m", 0, 1),
        ("BTCUSDT", "1m", 1, 2),
        ("ETHUSDT", "1m", 1, 2),
        ("ETHUSDT", "1m", 2, 3),
        ("ETHUSDT", "1m", 3, 4),
    ]
    state = await served.control.state()
    assert state["ended"] and state["market_time"] == start_time + 4 * MINUTE


async def test_a_market_at_full_speed_waits_for_a_subscriber_and_drops_nothing(
    serve: Any, start_time: int
) -> None:
    served = await serve(SyntheticMarket(1), pace=MAX, start=start_time)
    await asyncio.sleep(0.1)
    assert served.venue.market_time == start_time
    listener = await served.listen("btcusdt@kline_1m")
    opens = [f["k"]["t"] for f in await listener.many(6_000) if f["k"]["x"]]
    assert len(opens) > 1_000
    assert opens == list(range(start_time, start_time + len(opens) * MINUTE, MINUTE))


async def test_a_market_keeps_its_speed(serve: Any, start_time: int) -> None:
    served = await serve(SyntheticMarket(1), pace=MarketPace(600.0), start=start_time)
    loop = asyncio.get_running_loop()
    began = loop.time()
    listener = await served.listen("btcusdt@kline_1m")
    last = [f for f in await listener.many(36) if f["k"]["x"]][-1]
    took = loop.time() - began
    market = (last["E"] - start_time) / 1_000
    assert took >= market / 600 * 0.8


@pytest.mark.parametrize(
    ("speed", "steps"), [(1.0, 30), (0.1, 30), (60.0, 20), (100.0, 12), (1e6, 4), (None, 4)]
)
def test_prices_change_as_often_as_on_binance(speed: float | None, steps: int) -> None:
    assert MarketPace(speed).steps(MINUTE) == steps
    assert MarketPace(speed, lockstep=True).steps(MINUTE) == 4


async def test_a_replay_in_lockstep_is_deterministic(serve: Any, start_time: int) -> None:
    async def play() -> list[Any]:
        served = await serve(SyntheticMarket(3), pace=LOCKSTEP, start=start_time)
        listener = await served.listen("btcusdt@kline_1m", "btcusdt@trade")
        trades = []
        for number in range(20):
            await served.advance("btcusdt@kline_1m")
            side = "BUY" if number % 2 else "SELL"
            if number:
                order = await served.order(side, "MARKET", quantity="0.01")
                trades.append(order | {"clientOrderId": ""})
            else:
                trades.append(
                    await served.order("BUY", "MARKET", quantity="0.05") | {"clientOrderId": ""}
                )
        return trades + await listener.many(100)

    assert await play() == await play()
