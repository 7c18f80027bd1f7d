"""Market data by REST and WebSocket API: parameters, and the agreement of answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from botlib.core.timeframe import DAY, HOUR, MINUTE
from botlib.paper.market.intervals import interval, zone_offset
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
BTC = {"symbol": "BTCUSDT"}


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    served = await serve(SyntheticMarket(2), pace=LOCKSTEP, start=start_time + 10 * MINUTE)
    await served.advance(STREAM)
    return served


# -- symbols


async def test_exchange_info_can_be_filtered(served: Any) -> None:
    async def ids(**params: object) -> list[str]:
        return [one["symbol"] for one in (await served.get("exchangeInfo", **params))["symbols"]]

    every = await ids()
    assert "BTCUSDT" in every
    assert await ids(permissions="SPOT") == every
    assert await ids(permissions='["MARGIN","SPOT"]') == every
    assert await ids(permissions='["LEVERAGED"]') == []
    assert await ids(symbolStatus="TRADING") == every
    assert await ids(symbolStatus="BREAK") == []
    plain = await served.get("exchangeInfo", showPermissionSets="false", **BTC)
    assert plain["symbols"][0]["permissionSets"] == []


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("exchangeInfo", "symbol=BTCUSDT&symbols=[%22ETHUSDT%22]", -1128),
        ("exchangeInfo", "symbol=BTCUSDT&permissions=SPOT", -1128),
        ("exchangeInfo", "symbol=BTCUSDT&symbolStatus=TRADING", -1128),
        ("exchangeInfo", "symbolStatus=SLEEPING", -1122),
        ("exchangeInfo", "permissions=[1", -1130),
        ("exchangeInfo", "symbol=btcusdt", -1100),
        ("exchangeInfo", "symbols=[]", -1105),
        ("exchangeInfo", "symbols=[%22BTCUSDT%22,%22BTCUSDT%22]", -1151),
        ("exchangeInfo", "showPermissionSets=yes", -1100),
        ("ping", "a=1", -1101),
        ("time", "symbol=BTCUSDT", -1101),
        ("klines", "symbol=BTCUSDT&interval=1m&sybmol=1", -1104),
        ("klines", "symbol=BTCUSDT&interval=1m&limit=", -1105),
        ("klines", "symbol=BTCUSDT&interval=1m&interval=1h", -1101),
        ("klines", "symbol=BTCUSDT&interval=1m@+8:00", -1120),
        ("klines", "symbol=BTCUSDT&interval=1d&timeZone=15", -1130),
        ("klines", "symbol=BTCUSDT&interval=1d&startTime=9223372036854775808", -1108),
        ("aggTrades", "symbol=BTCUSDT&fromId=1&startTime=1", -1128),
        ("ticker", "windowSize=1d", -1102),
        ("ticker", "symbol=BTCUSDT&windowSize=60m", -1130),
        ("ticker", "symbol=BTCUSDT&type=LONG", -1139),
        ("ticker/tradingDay", "symbol=BTCUSDT&timeZone=x", -1130),
        ("ticker/price", "symbol=BTCUSDT&symbolStatus=BREAK", -1220),
        ("depth", "symbol=BTCUSDT&limit=-1", -1100),
        ("depth", "symbol=BTCUSDT&limit=x", -1100),
    ],
)
async def test_invalid_requests_have_the_error_codes_of_binance(
    served: Any, path: str, query: str, code: int
) -> None:
    status, answer = await served.call("GET", path, query)
    assert (status, answer["code"]) == (400, code), answer


# -- klines


@pytest.mark.parametrize("zone", ["0", "8", "-3:30", "05:45", "+14"])
async def test_days_in_other_time_zones_are_built_from_the_same_minutes(
    served: Any, zone: str
) -> None:
    offset = zone_offset(zone)
    assert offset is not None
    rows = await served.get("klines", interval="1d", timeZone=zone, limit=3, **BTC)
    assert len(rows) == 3
    assert all((row[0] + offset) % DAY == 0 and row[6] == row[0] + DAY - 1 for row in rows)
    whole = rows[1]
    minutes: list[Any] = []
    for part in range(2):
        start = whole[0] + part * DAY // 2
        minutes += await served.get(
            "klines",
            interval="1m",
            startTime=start,
            endTime=start + DAY // 2 - 1,
            limit=1000,
            **BTC,
        )
    assert len(minutes) == 1_440
    assert whole[1] == minutes[0][1] and whole[4] == minutes[-1][4]
    assert whole[2] == max(minutes, key=lambda row: float(row[2]))[2]
    assert float(whole[5]) == pytest.approx(sum(float(row[5]) for row in minutes))
    again = await served.get(
        "klines", interval="1d", timeZone=zone, startTime=rows[0][0], limit=3, **BTC
    )
    assert again == rows


async def test_months_follow_the_calendar(served: Any) -> None:
    rows = await served.get("uiKlines", interval="1M", limit=14, **BTC)
    assert len(rows) == 14
    assert all(after[0] == before[6] + 1 for before, after in pairwise(rows))
    lengths = {(row[6] + 1 - row[0]) // DAY for row in rows}
    assert lengths == {28, 30, 31}
    days = await served.get("klines", interval="1d", limit=1, **BTC)
    assert rows[-1][4] == days[-1][4]


@pytest.mark.parametrize("interval", [{"interval": "1M"}, {"interval": "1d", "timeZone": "-5"}])
async def test_klines_end_at_the_end_time(served: Any, interval: dict[str, str]) -> None:
    rows = await served.get("klines", limit=8, **interval, **BTC)
    for end in (rows[5][0], rows[5][0] - 1, rows[5][6]):
        expected = [row for row in rows if row[0] <= end]
        found = await served.get("klines", endTime=end, limit=3, **interval, **BTC)
        assert found == expected[-3:]
        start = rows[1][0] - 1
        found = await served.get("klines", startTime=start, endTime=end, **interval, **BTC)
        assert found == expected[1:]
    assert await served.get("klines", startTime=2, endTime=1, **interval, **BTC) == []


def test_intervals_are_parsed_by_name() -> None:
    for wrong in ("7m", "1h@", "1h@99", "1h@+8:60", "", "1mo"):
        assert interval(wrong) is None
    day = interval("1d@-01:00")
    assert day is not None and not day.plain and day.open(0) == HOUR - DAY
    hour = interval("1h@+08:00")
    assert hour is not None and hour.plain


# -- statistics


async def test_a_rolling_window_starts_on_a_minute(served: Any, start_time: int) -> None:
    now = served.venue.market_time
    found = await served.get("ticker", windowSize="7m", **BTC)
    assert (found["openTime"], found["closeTime"]) == (now - 7 * MINUTE, now)
    rows = await served.get("klines", interval="1m", startTime=now - 7 * MINUTE, **BTC)
    assert found["openPrice"] == rows[0][1] and found["lastPrice"] == rows[-1][4]
    assert float(found["highPrice"]) == max(float(row[2]) for row in rows)
    assert float(found["volume"]) == pytest.approx(sum(float(row[5]) for row in rows))
    mini = await served.get("ticker", windowSize="7m", type="MINI", **BTC)
    assert set(found) - set(mini) == {"priceChange", "priceChangePercent", "weightedAvgPrice"}
    assert {name: found[name] for name in mini} == mini


async def test_a_trading_day_starts_at_midnight_of_its_time_zone(
    served: Any, start_time: int
) -> None:
    here = await served.get("ticker/tradingDay", **BTC)
    assert (here["openTime"], here["closeTime"]) == (start_time, start_time + DAY - 1)
    there = await served.get("ticker/tradingDay", timeZone="-1:00", type="MINI", **BTC)
    assert there["openTime"] == start_time - 23 * HOUR
    both = await served.get("ticker/tradingDay", symbols='["BTCUSDT","ETHUSDT"]')
    assert [one["symbol"] for one in both] == ["BTCUSDT", "ETHUSDT"]


async def test_full_and_mini_tickers_of_a_day(served: Any) -> None:
    full = await served.get("ticker/24hr", **BTC)
    mini = await served.get("ticker/24hr", type="MINI", **BTC)
    assert {name: full[name] for name in mini} == mini
    assert set(full) - set(mini) == {
        *("priceChange", "priceChangePercent", "weightedAvgPrice", "prevClosePrice", "lastQty"),
        *("bidPrice", "bidQty", "askPrice", "askQty"),
    }
    assert len(await served.get("ticker/24hr", type="MINI")) > 1


# -- trades and book


async def test_trades_add_up_to_the_candle_and_are_found_by_id(served: Any) -> None:
    minute = (await served.get("klines", interval="1m", limit=2, **BTC))[0]
    trades = await served.get("historicalTrades", limit=200, **BTC)
    inside = [one for one in trades if minute[0] <= one["time"] <= minute[6]]
    assert inside[0]["price"] == minute[1] and inside[-1]["price"] == minute[4]
    assert sum(float(one["qty"]) for one in inside) == pytest.approx(float(minute[5]))
    assert minute[8] == len(inside)
    numbers = [one["id"] for one in trades]
    assert numbers == sorted(set(numbers))
    for first in (numbers[5], numbers[6]):
        later = await served.get("historicalTrades", fromId=first, limit=4, **BTC)
        assert [one["id"] for one in later] == numbers[numbers.index(first) :][:4]
    together = await served.get("aggTrades", startTime=minute[0], endTime=minute[6], **BTC)
    assert (together[0]["f"], together[-1]["l"]) == (inside[0]["id"], inside[-1]["id"])
    micros = await served.get(
        "aggTrades", startTime=minute[0] * 1_000, endTime=minute[6] * 1_000, **BTC
    )
    assert micros == together


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("ping", {}, 1),
        ("exchangeInfo", BTC, 20),
        ("depth", {"limit": 100, **BTC}, 5),
        ("depth", {"limit": 101, **BTC}, 25),
        ("depth", {"limit": 501, **BTC}, 50),
        ("depth", {"limit": 5000, **BTC}, 250),
        ("trades", BTC, 25),
        ("historicalTrades", BTC, 25),
        ("aggTrades", BTC, 4),
        ("klines", {"interval": "1m", **BTC}, 2),
        ("avgPrice", BTC, 2),
        ("ticker/24hr", BTC, 2),
        ("ticker/24hr", {}, 80),
        ("ticker/tradingDay", BTC, 4),
        ("ticker/price", BTC, 2),
        ("ticker/price", {}, 4),
        ("ticker/bookTicker", {"symbols": '["BTCUSDT"]'}, 4),
        ("ticker", {"symbols": '["BTCUSDT","ETHUSDT"]'}, 8),
    ],
)
async def test_request_weights_equal_those_of_binance(
    served: Any, path: str, params: dict[str, Any], weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.exchange.limits, "_wall", lambda: 0)
    await served.get("ping")
    before = int(served.headers["X-MBX-USED-WEIGHT-1M"])
    await served.get(path, **params)
    assert int(served.headers["X-MBX-USED-WEIGHT-1M"]) - before == weight


# -- recorded answers


def kinds(value: Any) -> Any:
    """Return the structure of an answer: keys and the types of values."""
    if isinstance(value, dict):
        return {key: kinds(one) for key, one in value.items()}
    return type(value).__name__


async def test_exchange_info_has_the_recorded_shape(
    served: Any, recorded: Callable[[str], Path]
) -> None:
    path = recorded("fixtures/rest/exchangeInfo_binance_spot_20250807_gct.json")
    theirs = orjson.loads(path.read_bytes())
    ours = await served.get("exchangeInfo", **BTC)
    assert set(ours) == set(theirs)
    for name in ("timezone", "exchangeFilters"):
        assert ours[name] == theirs[name]
    assert ours["rateLimits"][:3] == theirs["rateLimits"][:3]
    # Binance has raised the limit of requests since the recording, on 2026-04-02.
    assert ours["rateLimits"][3] == {**theirs["rateLimits"][3], "limit": 300_000}
    [symbol] = ours["symbols"]
    example = next(one for one in theirs["symbols"] if one["symbol"] == "BTCUSDT")
    assert set(example) <= set(symbol)
    # Fields that Binance added after the recording.
    assert set(symbol) - set(example) <= {"opoAllowed", "pegInstructionsAllowed"}
    for name, value in example.items():
        if name not in ("filters", "permissionSets"):
            assert kinds(symbol[name]) == kinds(value), name
    filters = {one["filterType"]: one for one in symbol["filters"]}
    for one in example["filters"]:
        assert kinds(filters[one["filterType"]]) == kinds(one)
    for name in ("PRICE_FILTER", "PERCENT_PRICE_BY_SIDE", "NOTIONAL"):
        assert filters[name] == next(one for one in example["filters"] if one["filterType"] == name)


async def test_depth_has_the_recorded_shape(served: Any, recorded: Callable[[str], Path]) -> None:
    theirs = orjson.loads(recorded("fixtures/rest/depth_NKNUSDT_20211012.json").read_bytes())
    ours = await served.get("depth", limit=20, **BTC)
    assert kinds(ours) == kinds(theirs)
    assert kinds({"a": ours["bids"][0][0]}) == kinds({"a": theirs["bids"][0][0]})


async def test_every_recorded_stream_has_the_same_fields(
    served: Any, recorded: Callable[[str], Path]
) -> None:
    lines = recorded("fixtures/ws/binance_frames.jsonl").read_bytes().splitlines()
    theirs: dict[str, Any] = {}
    for frame in (orjson.loads(line)["frame"] for line in lines):
        theirs.setdefault(frame["stream"].partition("@")[2], frame["data"])
    assert set(theirs) == {"depth@100ms", "bookTicker", "aggTrade", "kline_1m"}
    listener = await served.listen(*(f"btcusdt@{kind}" for kind in theirs), path="/stream")
    await served.advance(STREAM)
    ours: dict[str, Any] = {}
    while set(ours) < set(theirs):
        frame = await listener.next()
        ours.setdefault(frame["stream"].partition("@")[2], frame["data"])
    for kind, data in theirs.items():
        assert list(ours[kind]) == list(data), kind
        assert kinds(ours[kind]) == kinds(data), kind
