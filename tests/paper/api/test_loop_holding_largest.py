"""The largest legal answer of every operation: the loop of the exchange serves others meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

import orjson
import pytest

from botlib.core.timeframe import DAY
from botlib.paper import PaperExchange, PaperOptions
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.operations import operations
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.market.depth import Depth
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import ORIGIN, SyntheticMarket
from botlib.paper.protocol.operation import Key, Operation
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal
from tests.conformance.session import LISTS
from tests.support.loop_holding import LONGEST, longest_hold

START = ORIGIN + 900 * DAY
TRIES = ("BTCUSDT", "BTCUSDC", "BTCFDUSD")
"""A symbol for each try: what a try cancels is gone for the next one."""
OTHERS = [f"A{number}" for number in range(97)]
NAMES = "[" + ",".join(f'"{name}USDT"' for name in OTHERS) + "]"
LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.02"}
STOP = {"price": "{1.1}", "stopPrice": "{0.9}", "side": "SELL", "quantity": "0.02"}
OPO = {
    key: value
    for key, value in LISTS["OTO"][0].items()
    if key not in ("pendingQuantity", "workingQuantity")
} | {"workingQuantity": "0.01"}
OPOCO = {key: value for key, value in LISTS["OTOCO"][0].items() if key != "pendingQuantity"}

Sent = dict[str, object]
Table = Mapping[Key, Operation]

MARKET: dict[Key, Sent] = {
    ("GET", "ping"): {},
    ("GET", "time"): {},
    ("GET", "exchangeInfo"): {},
    ("GET", "executionRules"): {},
    ("GET", "referencePrice"): {"symbol": "BTCUSDT"},
    ("GET", "referencePrice/calculation"): {"symbol": "BTCUSDT"},
    ("GET", "klines"): {"symbol": "BTCUSDT", "interval": "1s", "limit": 1000},
    ("GET", "uiKlines"): {"symbol": "BTCUSDT", "interval": "1M", "startTime": ORIGIN},
    ("GET", "ticker"): {"symbols": NAMES, "windowSize": "7d"},
    ("GET", "ticker/24hr"): {},
    ("GET", "ticker/tradingDay"): {"symbols": NAMES, "timeZone": "5:45"},
    ("GET", "ticker/price"): {},
    ("GET", "ticker/bookTicker"): {},
    ("GET", "avgPrice"): {"symbol": "BTCUSDT"},
    ("GET", "depth"): {"symbol": "BTCUSDT", "limit": 5000},
    ("GET", "trades"): {"symbol": "BTCUSDT", "limit": 1000},
    ("GET", "historicalTrades"): {"symbol": "BTCUSDT", "fromId": 1_000, "limit": 1000},
    ("GET", "historicalBlockTrades"): {"symbol": "BTCUSDT", "fromId": 1, "limit": 1000},
    ("GET", "aggTrades"): {"symbol": "BTCUSDT", "startTime": START - 9 * DAY, "limit": 1000},
}
SWEEP: Sent = {"type": "MARKET", "side": "BUY", "quoteOrderQty": 3_000_000}
"""An order that takes about three thousand levels of the book."""

READS: dict[Key, Sent] = {
    ("GET", "account"): {},
    ("GET", "account/commission"): {"symbol": "BTCUSDT"},
    ("GET", "rateLimit/order"): {},
    ("GET", "myTrades"): {"symbol": "BTCUSDT", "limit": 1000},
    ("GET", "myAllocations"): {"symbol": "BTCUSDT", "limit": 1000},
    ("GET", "myFilters"): {"symbol": "BTCUSDT"},
    ("GET", "myPreventedMatches"): {"symbol": "BTCUSDT", "orderId": 1, "limit": 1000},
    ("GET", "order"): {"symbol": "BTCUSDT", "orderId": 1},
    ("GET", "order/amendments"): {"symbol": "BTCUSDT", "orderId": 1, "limit": 1000},
    ("GET", "openOrders"): {},
    ("GET", "allOrders"): {"symbol": "BTCUSDT", "limit": 1000},
    ("GET", "orderList"): {"orderListId": 1},
    ("GET", "allOrderList"): {"limit": 1000},
    ("GET", "openOrderList"): {},
}
COMMANDS: dict[Key, Sent] = {
    ("POST", "order"): {**LIMIT, "price": "{0.9}"},
    ("POST", "order/test"): {**LIMIT, "price": "{0.9}", "computeCommissionRates": "true"},
    ("POST", "sor/order"): {**LIMIT, "price": "{0.9}"},
    ("POST", "sor/order/test"): {**LIMIT, "price": "{0.9}"},
    ("POST", "order/oco"): STOP,
    ("POST", "orderList/oco"): dict(LISTS["OCO"][0]),
    ("POST", "orderList/oto"): dict(LISTS["OTO"][0]),
    ("POST", "orderList/otoco"): dict(LISTS["OTOCO"][0]),
    ("POST", "orderList/opo"): dict(OPO),
    ("POST", "orderList/opoco"): dict(OPOCO),
    ("PUT", "order/amend/keepPriority"): {"orderId": "{order}", "newQty": "0.01"},
    ("POST", "order/cancelReplace"): {
        **{**LIMIT, "price": "{0.8}", "cancelReplaceMode": "STOP_ON_FAILURE"},
        "cancelOrderId": "{order}",
    },
    ("DELETE", "order"): {"orderId": "{order}"},
    ("DELETE", "orderList"): {"orderListId": "{list}"},
    ("DELETE", "openOrders"): {},
}
REFUSED = {
    *(("GET", "referencePrice"), ("GET", "referencePrice/calculation")),
    *(("POST", "sor/order"), ("POST", "sor/order/test")),
}
"""Operations that answer no request of this exchange."""


class Requests:
    """Requests to an exchange, whose answers are written as JSON as the server does."""

    def __init__(self, table: Table, exchange: PaperExchange) -> None:
        self.table = table
        self.exchange = exchange

    async def ask(self, key: Key, sent: Sent) -> Any:
        texts = {name: str(value) for name, value in sent.items()}
        return orjson.loads(orjson.dumps(await self.table[key].handler(Params(texts))))

    async def _answer(self, key: Key, sent: Sent) -> None:
        texts = {name: str(value) for name, value in sent.items()}
        if key in REFUSED:
            with suppress(Refusal):
                await self.table[key].handler(Params(texts))
            return
        orjson.dumps(await self.table[key].handler(Params(texts)))

    async def hold(self, key: Key, sents: list[Sent]) -> float:
        """Return the longest hold of a request, the least of the tries given."""
        least = float("inf")
        for sent in sents:
            least = min(least, await longest_hold(self._answer(key, sent)))
            if least < LONGEST:
                break
        return least


@asynccontextmanager
async def served(depth: Depth | None) -> AsyncIterator[Requests]:
    quotes = ("USDT", "USDC", "FDUSD")
    options = PaperOptions(
        start=START,
        pace=MarketPace(1.0),
        symbols=(*(f"BTC/{one}" for one in quotes), *(f"{name}/USDT" for name in OTHERS)),
        balances={**dict.fromkeys(quotes, Decimal(10**12)), "BTC": Decimal(10**9)},
        depth=depth,
    )
    exchange = PaperExchange(SyntheticMarket(3), options)
    # Each look at this clock is a second later, so that no limit of orders refuses one.
    clock = itertools.count(START, 1_000)
    limits = RateLimits(lambda: next(clock), lambda: exchange.venue.market_time)
    data = MarketDataHandlers(exchange.venue, exchange.limits)
    try:
        handlers = OrderHandlers(exchange.venue, data, limits)
        yield Requests(operations(data, handlers), exchange)
    finally:
        await exchange.close()


async def price_of(requests: Requests, symbol: str) -> tuple[Decimal, Decimal, Decimal]:
    """Return a symbol's price, its tick and its step."""
    info = await requests.ask(("GET", "exchangeInfo"), {"symbol": symbol})
    filters = {one["filterType"]: one for one in info["symbols"][0]["filters"]}
    price = await requests.ask(("GET", "ticker/price"), {"symbol": symbol})
    tick = Decimal(filters["PRICE_FILTER"]["tickSize"])
    return Decimal(price["price"]), tick, Decimal(filters["LOT_SIZE"]["stepSize"])


async def crowd(requests: Requests) -> None:
    """Give the account as many trades, lists and open orders as an answer can have."""
    buy: Sent = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    for _ in range(1_000):
        await requests.ask(("POST", "order"), buy)
    price, tick, _ = await price_of(requests, "BTCUSDT")
    oto = filled(LISTS["OTO"][0], "BTCUSDT", price, tick)
    for _ in range(1_000):
        made = await requests.ask(("POST", "orderList/oto"), oto)
        sent: Sent = {"symbol": "BTCUSDT", "orderListId": made["orderListId"]}
        await requests.ask(("DELETE", "orderList"), sent)
    for name in OTHERS:
        price, tick, step = await price_of(requests, f"{name}USDT")
        at = price * Decimal("0.9") // tick * tick
        amount = (Decimal(100) / at) // step * step
        order = {"symbol": f"{name}USDT", **LIMIT, "price": at, "quantity": amount}
        for _ in range(200):
            await requests.ask(("POST", "order"), order)


def filled(params: Mapping[str, object], symbol: str, price: Decimal, tick: Decimal) -> Sent:
    """Return the parameters for a symbol, with prices filled in: ``{0.9}`` of the price."""
    sent: Sent = {"symbol": symbol}
    for name, value in params.items():
        text = str(value)
        factor = text.strip("{}")
        numeric = text.startswith("{") and factor.replace(".", "").isdigit()
        sent[name] = price * Decimal(factor) // tick * tick if numeric else value
    return sent


async def test_every_operation_has_its_largest_request() -> None:
    async with served(None) as requests:
        assert {*MARKET, *READS, *COMMANDS} == requests.table.keys()


async def test_no_answer_on_a_deep_market_holds_the_loop(subtests: pytest.Subtests) -> None:
    async with served(Depth(levels=5_000, size=Decimal(1_000))) as requests:
        for key, sent in MARKET.items():
            with subtests.test(" ".join(key)):
                assert await requests.hold(key, [sent] * 3) < LONGEST
        with subtests.test("an order that takes three thousand levels"):
            sents: list[Sent] = [{**SWEEP, "symbol": symbol} for symbol in TRIES]
            assert await requests.hold(("POST", "order"), sents) < LONGEST


async def test_no_answer_to_a_large_account_holds_the_loop(subtests: pytest.Subtests) -> None:
    async with served(None) as requests:
        await crowd(requests)
        for key, sent in READS.items():
            with subtests.test(" ".join(key)):
                assert await requests.hold(key, [sent] * 3) < LONGEST
        for key, params in COMMANDS.items():
            with subtests.test(" ".join(key)):
                assert await requests.hold(key, await tries(requests, key, params)) < LONGEST


async def tries(requests: Requests, key: Key, params: Sent) -> list[Sent]:
    """Return the request for each symbol of the tries, on orders that wait there."""
    sents = []
    for index, symbol in enumerate(TRIES):
        price, tick, _ = await price_of(requests, symbol)
        if key == ("DELETE", "openOrders"):
            sents.append({"symbol": f"{OTHERS[index]}USDT"})
            continue
        with suppress(Refusal):
            await requests.ask(("DELETE", "openOrders"), {"symbol": symbol})
        sent = filled(params, symbol, price, tick)
        if "{order}" in sent.values():
            order = filled({**LIMIT, "price": "{0.9}"}, symbol, price, tick)
            made = await requests.ask(("POST", "order"), order)
            sent = {k: made["orderId"] if v == "{order}" else v for k, v in sent.items()}
        if "{list}" in sent.values():
            oto = filled(LISTS["OTO"][0], symbol, price, tick)
            made = await requests.ask(("POST", "orderList/oto"), oto)
            sent["orderListId"] = made["orderListId"]
        sents.append(sent)
    return sents


MANY = 40_000
"""Records of each kind in a ledger that has grown for months."""
HISTORY: dict[Key, list[Sent]] = {
    ("GET", "allOrders"): [{"orderId": MANY // 2}],
    ("GET", "myTrades"): [{"fromId": MANY // 2}],
    ("GET", "allOrderList"): [{"fromId": MANY // 2}],
}
TIMES: list[Sent] = [{}, {"startTime": START + MANY - 9}, {"endTime": START + 9}]


def grow(exchange: PaperExchange) -> None:
    """Write the account's first order, trade, list and prevented match again and again."""
    run = exchange._ledger._connection.execute
    bodies = {
        table: orjson.loads(run(f"SELECT body FROM {table} ORDER BY id LIMIT 1").fetchone()[0])
        for table in ("orders", "trades", "lists")
    }
    match = {"account": "main", "symbol": "BTCUSDT", "mode": "NONE", "price": "1"}
    match |= {"taker_amount": "1", "maker_amount": "0"}
    for number in range(1_000, MANY + 1_000):
        time = START + number - 1_000
        order = {**bodies["orders"], "order_id": number, "created": time, "updated": time}
        name = f"many-{number}"
        order |= {"status": "CANCELED", "locked": "0", "client_order_id": name, "list_id": -1}
        trade = {**bodies["trades"], "trade_id": number, "order_id": number, "time": time}
        found = {**bodies["lists"], "list_id": number, "created": time, "client_id": name}
        found |= {"order_ids": [number], "pending_ids": [], "contingency": "OCO", "done": True}
        prevented = {**match, "match_id": number, "taker_id": number, "maker_id": 1, "time": time}
        owner = ("main", "BTCUSDT")
        run(
            "INSERT INTO orders VALUES (?, ?, ?, 'CANCELED', ?)",
            (number, *owner, orjson.dumps(order).decode()),
        )
        run(
            "INSERT INTO trades VALUES (?, ?, ?, ?, ?)",
            (number, number, *owner, orjson.dumps(trade).decode()),
        )
        run("INSERT INTO lists VALUES (?, ?)", (number, orjson.dumps(found).decode()))
        run("INSERT INTO prevented VALUES (?, ?)", (number, orjson.dumps(prevented).decode()))
    exchange.venue.engine._load()


async def test_no_answer_from_a_large_ledger_holds_the_loop(subtests: pytest.Subtests) -> None:
    async with served(None) as requests:
        price, tick, _ = await price_of(requests, "BTCUSDT")
        await requests.ask(
            ("POST", "order"),
            {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"},
        )
        await requests.ask(
            ("POST", "orderList/oto"), filled(LISTS["OTO"][0], "BTCUSDT", price, tick)
        )
        grow(requests.exchange)
        btc: Sent = {"symbol": "BTCUSDT"}
        asked: list[tuple[Key, Sent, int]] = [
            (("GET", "myPreventedMatches"), {**btc, "orderId": MANY}, 1),
            (("GET", "myPreventedMatches"), {**btc, "orderId": 1, "limit": 1000}, 1_000),
            (("GET", "myTrades"), {**btc, "orderId": MANY}, 1),
            (("GET", "orderList"), {"origClientOrderId": f"many-{MANY}"}, 0),
            (("GET", "order"), {**btc, "origClientOrderId": f"many-{MANY}"}, 0),
        ]
        for key, sents in HISTORY.items():
            own = {} if key[1] == "allOrderList" else btc
            asked += [(key, {**own, **sent, "limit": 1000}, 1_000) for sent in [*sents, TIMES[0]]]
            asked += [(key, {**own, **sent, "limit": 1000}, 9) for sent in TIMES[1:]]
        for key, sent, least in asked:
            with subtests.test(f"{' '.join(key)} {sent}"):
                answer = await requests.ask(key, sent)
                assert not least or len(answer) >= least
                assert await requests.hold(key, [sent] * 3) < LONGEST
