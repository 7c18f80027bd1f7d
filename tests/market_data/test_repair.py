"""Repairs around halts and listings: absent candles are holes, were never listed, or may come."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from botlib.paper import PaperProcess
from tests.support.stream_rig import MINUTE, MakeRig

START = 1_767_571_200_000  # 2026-01-05 00:00
HALT = range(60, 90)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A market in lockstep: BTC halts from minute 60 to 89, NEW is listed at minute 40."""
    minutes = {
        "BTCUSDT": [n for n in range(200) if n not in HALT],
        "NEWUSDT": list(range(40, 200)),
    }
    given = ["--lockstep", "--start", "2026-01-05T00:50"]
    for symbol, numbers in minutes.items():
        path = tmp_path / f"{symbol}-1m-test.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow("symbol timeframe timestamp open high low close volume".split())
            for number in numbers:
                price = 100 + number / 10
                row = (price, price + 1, price - 1, price + 0.1, 1 + number)
                writer.writerow((symbol, "1m", START + number * MINUTE, *row))
        given += ["--recording", str(path)]
    return given


def hole(first: int, last: int) -> tuple[int, int]:
    return START + first * MINUTE, START + last * MINUTE


async def test_a_halt_becomes_a_hole_when_trading_resumes_and_is_not_requested_again(
    arguments: list[str], rig: MakeRig
) -> None:
    symbols = ("BTC/USDT", "NEW/USDT")
    async with await PaperProcess.start(arguments) as process:
        async with rig(symbols, history=30, process=process) as r:
            await r.until(lambda: len(r.closed("NEW/USDT")) == 10)
            # Before its listing a symbol has no candles, and no holes either.
            assert r.storage.holes() == []
            await r.advance(25, stream="newusdt@kline_1m")
            assert r.storage.holes() == []
            assert r.closed()[-1].candle.timestamp == START + 58 * MINUTE
            await r.advance(2)
            await r.until(lambda: r.closed()[-1].candle.timestamp >= START + 90 * MINUTE)
            assert [(h.start, h.end) for h in r.storage.holes()] == [hole(60, 89)]
            assert [(g.start, g.end, g.candles, g.holes) for g in r.gaps()] == [
                (*hole(60, 89), 0, 30)
            ]
            # The candle before the halt closed when trading resumed: it was live then.
            before = next(e for e in r.closed() if e.candle.timestamp == START + 59 * MINUTE)
            assert not before.backfilled
            for symbol in symbols:
                await r.check_order(symbol)
        # The next start knows the hole.
        async with rig(symbols, history=60, process=process) as r:
            assert [(h.start, h.end) for h in r.storage.holes()] == [hole(60, 89)]
            start, end = START + 45 * MINUTE, START + 90 * MINUTE
            assert r.storage.missing("BTC/USDT", "1m", start, end) == []


async def test_a_start_inside_a_halt_does_not_record_a_hole_too_soon(
    arguments: list[str], rig: MakeRig
) -> None:
    async with await PaperProcess.start(arguments) as process:
        async with rig(("NEW/USDT",), history=5, process=process) as r:
            await r.advance(25, stream="newusdt@kline_1m")
        async with rig(("BTC/USDT",), history=30, process=process) as r:
            # Minute 75: ready, for there is nothing newer than the candle before the halt.
            assert r.closed()[-1].candle.timestamp == START + 59 * MINUTE
            assert r.storage.holes() == []
            await r.advance(2)
            await r.until(lambda: len(r.closed()) > 15)
            await r.until(lambda: r.stream.status().ready)
            assert [(h.start, h.end) for h in r.storage.holes("BTC/USDT")] == [hole(60, 89)]
            await r.check_order()
