"""Comparison of the real venue's public answers and frames with what the kit expects.

It signs nothing and orders nothing: it only reads what anyone may read, without a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import aiohttp
import orjson

from botlib.core.errors import BotlibError
from botlib.venues.binance import expected, parse
from botlib.venues.binance.api import Connector, SpotBinance, VenueError, make_api
from botlib.venues.binance.expected import Fields
from botlib.venues.obstacles import connection_advice

SYMBOL: Final = "BTCUSDT"
ABSENT: Final = "NOSUCHSYMBOL"
"""A symbol that no venue has."""

PATIENCE: Final = 30.0
"""Seconds for which a frame of each stream is awaited."""

_UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    BotlibError,
)


@dataclass(slots=True)
class Difference:
    """One thing that is not as the kit expects.

    Attributes:
        where: the answer, frame or entry.
        what: the kind of difference, such as ``unknown field``.
        name: of the field, filter or word.
        example: what was received where it was first seen.
        count: how often it was seen.
    """

    where: str
    what: str
    name: str
    example: str
    count: int = 1


@dataclass(slots=True)
class Comparison:
    """What was compared, and every difference once."""

    compared: list[str] = field(default_factory=list)
    found: dict[tuple[str, str, str], Difference] = field(default_factory=dict)

    @property
    def differences(self) -> list[Difference]:
        """Return the differences in the order in which they were seen."""
        return list(self.found.values())

    def differs(self, where: str, what: str, name: str, example: object = "") -> None:
        """Note a difference, or count it if it is known already."""
        seen = self.found.get((where, what, name))
        if seen is not None:
            seen.count += 1
            return
        shown = example if isinstance(example, str) else repr(example)
        self.found[where, what, name] = Difference(where, what, name, shown[:80])

    def fields(self, where: str, fields: Fields, received: object, *, of: str = "") -> bool:
        """Compare the names of fields, and return whether there are fields at all.

        Args:
            of: the symbol that is named as an example of a missing field.
        """
        if not isinstance(received, Mapping):
            self.differs(where, "other form", type(received).__name__, received)
            return False
        for name in sorted(received.keys() - fields.needed - fields.known):
            self.differs(where, "unknown field", name, received[name])
        for name in sorted(fields.needed - received.keys()):
            self.differs(where, "missing field", name, of)
        return True

    def words(self, kind: str, received: Iterable[object], of: str) -> None:
        """Compare words of ``exchangeInfo``."""
        for word in received:
            if word not in expected.WORDS[kind]:
                self.differs("exchangeInfo", f"unknown {kind}", str(word), of)

    def reads(self, where: str, parse_it: Callable[[], object]) -> None:
        """Note it if the kit cannot read what was received."""
        try:
            parse_it()
        except _UNREADABLE as error:
            self.differs(where, "unreadable", type(error).__name__, str(error))


async def compare(url: str | None = None, *, connector: Connector | None = None) -> Comparison:
    """Compare the venue with what the kit expects.

    Args:
        url: address of a paper exchange that stands in for the venue; None is the real venue.
        connector: makes the connector to it.

    Raises:
        VenueError: the venue refused the first request, such as a firewall does.
        Unreachable: it did not answer the first request.
    """
    streams = None if url is None else url.replace("http", "ws", 1)
    api = make_api(rest_url=url, ws_url=streams, key=None, secret=None, connector=connector)
    # ccxt leaves a session that it did not open itself open.
    given = api.session
    found = Comparison()
    try:
        found.fields("time", expected.TIME, await api.call("publicGetTime"))
        found.compared.append("time")
        for name, step in (
            ("exchangeInfo", _exchange_info),
            ("klines", _klines),
            ("trades", _trades),
            ("depth", _book),
            ("error of a bad symbol", _bad_symbol),
            ("streams", _streams),
        ):
            try:
                await step(api, found)
            except (BotlibError, aiohttp.ClientError, OSError) as error:
                advice = str(error) if isinstance(error, BotlibError) else None
                found.differs(name, "no answer", "", advice or connection_advice(error, PATIENCE))
            except _UNREADABLE as error:
                found.differs(name, "unreadable", type(error).__name__, str(error))
            found.compared.append(name)
    finally:
        await api.close()
        if given is not None:
            await given.close()
    return found


async def _exchange_info(api: SpotBinance, found: Comparison) -> None:
    info = await api.call("publicGetExchangeInfo")
    if not found.fields("exchangeInfo", expected.EXCHANGE_INFO, info):
        return
    for limit in info.get("rateLimits", ()):
        if found.fields("exchangeInfo rateLimits", expected.RATE_LIMIT, limit):
            found.words("rate limit", [limit.get("rateLimitType")], str(limit))
    for entry in info.get("symbols", ()):
        if found.fields("exchangeInfo symbols", expected.SYMBOL, entry, of=str(entry)[:40]):
            _symbol(entry, found)


def _symbol(entry: Mapping[str, Any], found: Comparison) -> None:
    name = str(entry.get("symbol"))
    found.words("status", [entry.get("status")], name)
    found.words("order type", entry.get("orderTypes", ()), name)
    found.words("self-trade mode", entry.get("allowedSelfTradePreventionModes", ()), name)
    for row in entry.get("filters", ()):
        kind = str(row.get("filterType"))
        if kind in expected.FILTERS:
            found.fields(f"filter {kind}", expected.FILTERS[kind], row, of=name)
        else:
            found.differs("exchangeInfo", "unknown filter", kind, row)
    found.reads("exchangeInfo symbols", lambda: parse.market(name, entry))


async def _klines(api: SpotBinance, found: Comparison) -> None:
    query = {"symbol": SYMBOL, "interval": "1m", "limit": 5}
    rows = await api.call("publicGetKlines", query)
    for row in _some(found, "klines", rows):
        if len(row) != expected.CANDLE_VALUES:
            found.differs("klines", "other length", str(len(row)), row)
        found.reads("klines", partial(parse.fetched_candle, SYMBOL, "1m", row, now=0))


async def _trades(api: SpotBinance, found: Comparison) -> None:
    query = {"symbol": SYMBOL, "limit": 5}
    for row in _some(found, "trades", await api.call("publicGetTrades", query)):
        found.fields("trades", expected.TRADE, row)
    for row in _some(found, "aggTrades", await api.call("publicGetAggTrades", query)):
        found.fields("aggTrades", expected.AGGREGATE, row)


async def _book(api: SpotBinance, found: Comparison) -> None:
    book = await api.call("publicGetDepth", {"symbol": SYMBOL, "limit": 5})
    if found.fields("depth", expected.DEPTH, book):
        found.reads("depth", lambda: parse.depth_snapshot(book))
    ticker = await api.call("publicGetTickerBookTicker", {"symbol": SYMBOL})
    found.fields("bookTicker", expected.BOOK_TICKER, ticker)


async def _bad_symbol(api: SpotBinance, found: Comparison) -> None:
    where = "error of a bad symbol"
    try:
        answer = await api.call("publicGetKlines", {"symbol": ABSENT, "interval": "1m"})
    except VenueError as error:
        if (error.status, error.code) != expected.BAD_SYMBOL:
            found.differs(where, "other code", f"HTTP {error.status}, {error.code}", error.message)
    else:
        found.differs(where, "no error", "", answer)


async def _streams(api: SpotBinance, found: Comparison) -> None:
    names = {f"{SYMBOL.lower()}@{kind}": kind for kind in expected.STREAMS}
    silent = set(expected.STREAMS)
    api.open()
    address = f"{api.urls['api']['ws']['spot']}/0"
    async with api.session.ws_connect(address, proxy=api.proxy_to(address)) as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": list(names), "id": 1})
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        waiting = {1, 2}
        try:
            async with asyncio.timeout(PATIENCE):
                while silent or waiting:
                    message = await socket.receive()
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        found.differs("streams", "closed", str(message.data), message.extra)
                        break
                    frame = orjson.loads(message.data)
                    if "id" in frame:
                        waiting.discard(frame["id"])
                        _reply(frame, set(names), found)
                    else:
                        silent.discard(_frame(frame.get("data", frame), found))
        except TimeoutError:
            pass
    for number in sorted(waiting):
        found.differs("streams", "no reply", ("SUBSCRIBE", "LIST_SUBSCRIPTIONS")[number - 1])
    for kind in sorted(silent):
        found.differs("streams", "no frame", kind, f"none came in {PATIENCE:g} s")


def _reply(frame: Mapping[str, Any], names: set[str], found: Comparison) -> None:
    """Compare the answer to a command: null for a subscription, names for the list of them."""
    if "result" not in frame:
        found.differs("streams", "refused", str(frame["id"]), frame)
    elif frame["id"] == 1:
        if frame["result"] is not None:
            found.differs("SUBSCRIBE", "other answer", "", frame)
    else:
        listed = set(frame["result"] or ())
        for name in sorted(listed - names):
            found.differs("streams", "unknown name", name)
        for name in sorted(names - listed):
            found.differs("streams", "missing name", name)


def _frame(frame: Mapping[str, Any], found: Comparison) -> str | None:
    """Compare a frame, and return the kind of its stream, if it is known."""
    event = frame.get("e")
    kind = "bookTicker" if event is None else expected.EVENTS.get(str(event))
    if kind is None:
        found.differs("streams", "unknown event", str(event), frame)
        return None
    where = f"frame {kind}"
    found.fields(where, expected.STREAMS[kind], frame)
    if kind == "kline_1m" and found.fields(where, expected.KLINE, frame.get("k")):
        kline = frame["k"]
        found.reads(where, lambda: parse.streamed_candle(SYMBOL, "1m", kline, closed=kline["x"]))
    elif kind == "depth@100ms":
        found.reads(where, lambda: parse.depth_update(frame))
    return kind


def _some(found: Comparison, where: str, rows: object) -> list[Any]:
    if isinstance(rows, list) and rows:
        return rows
    found.differs(where, "no rows", "", rows)
    return []
