"""The candles of a mirror are those of its venue, whatever is lost between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import orjson

from botlib.core.timeframe import MINUTE
from botlib.paper import PaperProcess
from tests.support.mirror_rig import Client, mirror, until

SYMBOLS = ("BTCUSDT", "ETHUSDT")


async def closings(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """Return the next closing klines."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        data = orjson.loads((await socket.receive(timeout=60)).data).get("data", {})
        if data.get("k", {}).get("x"):
            found.append(data["k"])
    return found


def last_closed(streamed: list[dict[str, Any]]) -> int:
    """Return the last time (ms) up to which all candles of five minutes have closed."""
    return int(max(one["t"] for one in streamed) // (5 * MINUTE) * 5 * MINUTE - MINUTE)


async def compare(venue: Client, copy: Client, first: int, last: int) -> int:
    """Check that both answer the same candles, and return their number."""
    count = 0
    for symbol in SYMBOLS:
        for interval in ("1m", "5m"):
            asked = {"symbol": symbol, "interval": interval, "startTime": first, "endTime": last}
            rows = await copy.get("klines", **asked)
            assert rows == await venue.get("klines", **asked)
            count += len(rows)
    return count


async def test_candles_are_equal_bar_for_bar_through_five_cuts_and_a_restart(
    tmp_path: Path,
) -> None:
    words = ("--candles", str(tmp_path / "candles.sqlite"))
    names = "BTC/USDT,ETH/USDT"
    path = "/stream?streams=btcusdt@kline_1m/ethusdt@kline_1m/btcusdt@kline_5m"
    streamed: list[dict[str, Any]] = []
    async with (
        await PaperProcess.start(["--speed", "60", "--seed", "7"]) as upstream,
        aiohttp.ClientSession() as session,
        upstream.control() as control,
    ):
        venue = Client(upstream.url, session)
        first = upstream.market_time // (5 * MINUTE) * 5 * MINUTE - 60 * MINUTE
        async with mirror(upstream.url, *words, symbols=names) as made:
            await until(made.awake)
            socket = await session.ws_connect(made.url + path)
            streamed += await closings(socket, 4)
            for number in range(5):
                await control.fault("reset", target="streams")

                async def again(dials: int = number + 2) -> bool:
                    state = await made.state()
                    return state.connections >= dials and not state.stale

                await until(again)
                streamed += await closings(socket, 2)
            state = await made.state()
            assert (state.staleness, state.connections) == (5, 6)
            last = last_closed(streamed)
            assert await compare(venue, made, first, last) > 140
            # What has been answered once is not asked again.
            sent = (await made.state()).requests
            await compare(venue, made, first, last)
            assert (await made.state()).requests == sent
            port = made.url.rpartition(":")[2]
        async with mirror(upstream.url, *words, "--port", port, symbols=names) as made:
            await until(made.awake)
            sent = (await made.state()).requests
            await compare(venue, made, first, last)
            assert (await made.state()).requests == sent
            socket = await session.ws_connect(made.url + path)
            streamed += await closings(socket, 2)
            last = last_closed(streamed)
            await compare(venue, made, first, last)
            # The file holds what the venue has, and the frames say the same.
            async with made.process.control() as copy:
                for symbol in names.split(","):
                    kept = await copy.candles(symbol, "1m", first, last)
                    assert kept == await control.candles(symbol, "1m", first, last)
        for one in streamed:
            asked = {"symbol": one["s"], "interval": one["i"], "startTime": one["t"], "limit": 1}
            row = (await venue.get("klines", **asked))[0]
            assert [one[name] for name in "tohlcv"] == row[:6]


async def test_history_before_the_mirror_is_that_of_the_venue() -> None:
    async with (
        await PaperProcess.start(["--speed", "60"]) as upstream,
        aiohttp.ClientSession() as session,
        mirror(upstream.url) as made,
    ):
        venue = Client(upstream.url, session)
        for asked in (
            {"interval": "1h", "startTime": 1_735_689_600_000, "limit": 700},
            {"interval": "1d", "endTime": 1_735_689_600_000, "limit": 30},
            {"interval": "1M", "startTime": 1_700_000_000_000, "endTime": 1_735_689_600_000},
        ):
            rows = await made.get("klines", symbol="BTCUSDT", **asked)
            assert rows == await venue.get("klines", symbol="BTCUSDT", **asked)
            sent = (await made.state()).requests
            assert rows == await made.get("klines", symbol="BTCUSDT", **asked)
            assert (await made.state()).requests == sent
        for path in ("ticker/bookTicker", "depth", "aggTrades", "avgPrice", "ticker/24hr"):
            assert await made.get(path, symbol="BTCUSDT")


async def test_an_upstream_that_is_away_is_a_sentence(tmp_path: Path) -> None:
    from botlib.core.errors import PaperExchangeError

    words = ["--mirror", "binance", "--upstream", "http://127.0.0.1:9"]
    try:
        await PaperProcess.start(words, log=tmp_path / "log")
    except PaperExchangeError as error:
        assert "binance did not answer time" in str(error)
        assert "Traceback" not in str(error)
    else:
        raise AssertionError("it started without a venue")
