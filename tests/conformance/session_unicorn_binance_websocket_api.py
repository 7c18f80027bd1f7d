"""unicorn-binance-websocket-api and its REST client on the paper exchange.

Its sockets run in threads, which call the callbacks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from session import ORDERS, PATIENCE, REFUSED, SYMBOL, Book, Session, priced, snake
from unicorn_binance_rest_api import BinanceAPIException, BinanceRestApiManager
from unicorn_binance_websocket_api import BinanceWebSocketApiManager

NUMBERS = ("quantity", "qty", "price")
"""Suffixes of the names of amounts and prices."""


class Received:
    """The messages of a stream so far."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._more = threading.Condition()

    def __call__(self, text: str, **_: object) -> None:
        with self._more:
            self.seen.append(json.loads(text))
            self._more.notify_all()

    def until(self, found: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait for the first matching message and return it."""
        read = 0

        def next_fitting() -> dict[str, Any] | None:
            nonlocal read
            while read < len(self.seen):
                message = self.seen[read]
                if found(message):
                    return message
                read += 1
            return None

        with self._more:
            message = self._more.wait_for(next_fitting, PATIENCE)
        assert message is not None, f"waited {PATIENCE} s in vain after {self.seen[-3:]}"
        return message

    def event(self, kind: str, **fields: object) -> dict[str, Any]:
        """Wait for the first user event of a kind with these fields, and return it."""

        def fits(message: dict[str, Any]) -> bool:
            event = message.get("event", message)
            return event.get("e") == kind and all(event.get(k) == v for k, v in fields.items())

        message = self.until(fits)
        return message.get("event", message)


def refused(code: int, call: Callable[..., Any], **params: Any) -> None:
    try:
        answer = call(**params)
    except BinanceAPIException as error:
        assert error.code == code, error
    else:
        raise AssertionError(f"not refused: {answer}")


# -- REST


def history(session: Session, rest: Any) -> None:
    with session.check("REST: exchange info, time"):
        info = rest.get_symbol_info(SYMBOL)
        assert {"PRICE_FILTER", "NOTIONAL"} <= {one["filterType"] for one in info["filters"]}
        now = rest.get_server_time()["serverTime"]
    with session.check("REST: klines in pages"):
        rows = rest.get_historical_klines(SYMBOL, "1m", str(now - 2_500 * 60_000), str(now))
        assert 2_499 <= len(rows) <= 2_501, len(rows)
        assert all(b[0] - a[0] == 60_000 for a, b in pairwise(rows))
    with session.check("REST: trades, aggregated trades, depth, tickers"):
        assert len(rest.get_recent_trades(symbol=SYMBOL, limit=5)) == 5
        assert len(rest.get_aggregate_trades(symbol=SYMBOL, limit=5)) == 5
        assert len(rest.get_order_book(symbol=SYMBOL, limit=5)["bids"]) == 5
        assert float(rest.get_ticker(symbol=SYMBOL)["lastPrice"]) > 0
        assert float(rest.get_orderbook_ticker(symbol=SYMBOL)["bidPrice"]) > 0


def trading(session: Session, rest: Any, events: Received, price: float) -> None:
    for kind, side, params, status in ORDERS:
        with session.check(f"REST: order {kind} {' '.join(params)}: {status}"):
            sent = {"symbol": SYMBOL, "side": side, "type": kind, **priced(params, price)}
            number = rest.create_order(**sent)["orderId"]
            assert rest.get_order(symbol=SYMBOL, orderId=number)["status"] == status
            report = events.event("executionReport", i=number, x="NEW")
            assert (report["s"], report["S"], report["o"]) == (SYMBOL, side, kind)
            if status != "NEW":
                events.event("executionReport", i=number, X=status)
    with session.check("REST: open orders, cancel, cancel all"):
        waiting = rest.get_open_orders(symbol=SYMBOL)
        assert len(waiting) == sum(status == "NEW" for *_, status in ORDERS)
        rest.cancel_order(symbol=SYMBOL, orderId=waiting[0]["orderId"])
        report = events.event("executionReport", i=waiting[0]["orderId"], x="CANCELED")
        assert report["C"] == waiting[0]["clientOrderId"]
        rest.cancel_all_open_orders(symbol=SYMBOL)
        assert rest.get_open_orders() == []
    with session.check("REST: OCO by its older path"):
        answer = rest.create_oco_order(
            symbol=SYMBOL,
            side="SELL",
            quantity="0.01",
            price=f"{price * 1.1:.2f}",
            stopPrice=f"{price * 0.9:.2f}",
            stopLimitPrice=f"{price * 0.89:.2f}",
            stopLimitTimeInForce="GTC",
        )
        number = answer["orderListId"]
        assert len(events.event("listStatus", g=number, l="EXEC_STARTED")["O"]) == 2
        one = answer["orders"][0]["orderId"]
        rest.cancel_order(symbol=SYMBOL, orderId=one)
        events.event("listStatus", g=number, l="ALL_DONE")
    with session.check("REST: account, trades, all orders"):
        assert rest.get_account()["canTrade"]
        assert rest.get_my_trades(symbol=SYMBOL)
        assert len(rest.get_all_orders(symbol=SYMBOL)) == len(ORDERS) + 2
    for what, params, code in REFUSED:
        with session.check(f"REST: refused: {what}: {code}"):
            refused(code, rest.order_limit_buy, symbol=SYMBOL, **priced(params, price))
    with session.check("REST: refused: an unknown order, cancelling one, an unknown symbol"):
        refused(-2013, rest.get_order, symbol=SYMBOL, orderId=77_777_777)
        refused(-2011, rest.cancel_order, symbol=SYMBOL, orderId=77_777_777)
        refused(-1121, rest.get_klines, symbol="NONE", interval="1m")


# -- sockets


def streams(session: Session, manager: Any, rest: Any) -> None:
    kinds = {
        "trade": "trade",
        "aggTrade": "aggTrade",
        "kline_1m": "kline",
        "miniTicker": "24hrMiniTicker",
        "depth": "depthUpdate",
    }
    received = Received()
    stream = manager.create_stream(
        [*kinds, "bookTicker"], ["btcusdt", "ethusdt"], process_stream_data=received
    )
    for channel, event in kinds.items():
        for market in ("btcusdt", "ethusdt"):
            with session.check(f"stream {market}@{channel}"):
                name = f"{market}@{channel}"
                message = received.until(lambda one, name=name: one.get("stream") == name)
                assert message["data"]["e"] == event
    with session.check("stream bookTicker"):
        message = received.until(lambda one: one.get("stream") == "btcusdt@bookTicker")
        assert float(message["data"]["a"]) > 0
    with session.check("stream kline tells when one closes"):
        closed = received.until(lambda one: one.get("data", {}).get("k", {}).get("x"))
        assert closed["data"]["k"]["T"] == closed["data"]["k"]["t"] + 59_999
    with session.check("streams are added to a running socket"):
        manager.subscribe_to_stream(stream, channels=["kline_5m"], markets=["btcusdt"])
        received.until(lambda one: one.get("stream") == "btcusdt@kline_5m")
    manager.stop_stream(stream)
    with session.check("all mini tickers"):
        received = Received()
        stream = manager.create_stream(["arr"], ["!miniTicker"], process_stream_data=received)
        message = received.until(lambda one: isinstance(one, list))
        assert message[0]["e"] == "24hrMiniTicker"
        manager.stop_stream(stream)
    with session.check("a local order book stays in sync"):
        follow_book(manager, rest)


def newer(update_id: int) -> Callable[[dict[str, Any]], bool]:
    """Return a function that recognizes a change of the book after an update id."""
    return lambda one: "data" in one and one["data"]["u"] > update_id


def follow_book(manager: Any, rest: Any) -> None:
    """Maintain a book for a while, and compare it with a snapshot of the same update."""
    received, book, compared, applied = Received(), Book(), 0, 0
    stream = manager.create_stream(["depth@100ms"], ["btcusdt"], process_stream_data=received)
    received.until(lambda one: "data" in one)
    shown = rest.get_order_book(symbol=SYMBOL, limit=1_000)
    book.start(shown["lastUpdateId"], shown["bids"], shown["asks"])
    while compared < 3:
        shown = rest.get_order_book(symbol=SYMBOL, limit=20)
        wanted = shown["lastUpdateId"]
        received.until(newer(wanted - 1))
        while book.update_id < wanted:
            change = received.seen[applied].get("data")
            applied += 1
            if change is not None:
                book.apply(change["U"], change["u"], change["b"], change["a"])
        if book.update_id == wanted:
            bids, asks = book.best(20)
            assert [list(one) for one in bids] == shown["bids"]
            assert [list(one) for one in asks] == shown["asks"]
            compared += 1
        received.until(newer(wanted))
    manager.stop_stream(stream)


def wished(params: dict[str, str], price: float) -> dict[str, Any]:
    """Return the parameters of an order for this client, which always needs a quantity."""
    found: dict[str, Any] = {"quantity": 0.0}
    for name, value in snake(priced(params, price)).items():
        number = float(value) if name.endswith(NUMBERS) else value
        found[name] = int(value) if name == "trailing_delta" else number
    return found


def over_socket(session: Session, manager: Any, events: Received, price: float) -> None:
    answers = Received()
    stream = manager.create_stream(
        api=True, api_key=session.key, api_secret=session.secret, process_stream_data=answers
    )
    api = manager.api.spot

    def ask(call: Callable[..., Any], **params: Any) -> dict[str, Any]:
        number = f"check-{len(answers.seen)}-{call.__name__}"[:36].replace("_", "-")
        call(stream_id=stream, request_id=number, **params)
        return answers.until(lambda one: one.get("id") == number)

    def told(call: Callable[..., Any], **params: Any) -> Any:
        answer = ask(call, **params)
        assert answer["status"] == 200, answer
        assert answer["rateLimits"]
        return answer["result"]

    with session.check("WS-API: market data"):
        assert told(api.ping) == {}
        assert told(api.get_server_time)["serverTime"]
        assert told(api.get_exchange_info, symbols=[SYMBOL])["symbols"]
        assert len(told(api.get_klines, symbol=SYMBOL, interval="1m", limit=3)) == 3
        assert len(told(api.get_ui_klines, symbol=SYMBOL, interval="1m", limit=3)) == 3
        assert told(api.get_order_book, symbol=SYMBOL, limit=5)["bids"]
        assert told(api.get_recent_trades, symbol=SYMBOL, limit=5)
        assert told(api.get_aggregate_trades, symbol=SYMBOL, limit=5)
        assert told(api.get_current_average_price, symbol=SYMBOL)["mins"] == 5
    for kind, side, params, status in ORDERS:
        with session.check(f"WS-API: order {kind} {' '.join(params)}: {status}"):
            sent = {"symbol": SYMBOL, "side": side, "order_type": kind, **wished(params, price)}
            assert told(api.create_test_order, **sent) == {}
            number = told(api.create_order, **sent)["orderId"]
            assert told(api.get_order, symbol=SYMBOL, order_id=number)["status"] == status
            events.event("executionReport", i=number, x="NEW")
    limit = {"symbol": SYMBOL, "side": "BUY", "order_type": "LIMIT", "time_in_force": "GTC"}
    limit |= {"quantity": 0.01, "price": round(price * 0.8, 2)}
    with session.check("WS-API: open orders, cancel, cancel all"):
        first, second = told(api.get_open_orders, symbol=SYMBOL)[:2]
        gone = told(api.cancel_order, symbol=SYMBOL, order_id=first["orderId"])
        assert gone["status"] == "CANCELED"
        events.event("executionReport", i=first["orderId"], x="CANCELED")
        assert told(api.cancel_open_orders, symbol=SYMBOL)
        events.event("executionReport", i=second["orderId"], x="CANCELED")
    with session.check("WS-API: the client's cancelReplace misspells a parameter: -1104"):
        number = told(api.create_order, **limit)["orderId"]
        tried = ask(api.cancel_and_replace_order, cancel_order_id=number, **limit)
        assert tried["error"]["code"] == -1104
        assert told(api.get_order, symbol=SYMBOL, order_id=number)["status"] == "NEW"
    with session.check("WS-API: the client's order counts forget the time: -1102"):
        assert ask(api.get_unfilled_order_count)["error"]["code"] == -1102
    with session.check("WS-API: account, refusals"):
        assert told(api.get_account_status)["canTrade"]
        asked = ask(api.get_order, symbol=SYMBOL, order_id=77_777_777)
        assert asked["error"]["code"] == -2013
        assert ask(api.create_order, **{**limit, "price": 1.0})["error"]["code"] == -1013
    manager.stop_stream(stream)


def rest_manager(session: Session) -> Any:
    class PaperRestApiManager(BinanceRestApiManager):
        API_URL = f"{session.url}/api"

    # A manager without the name of an exchange uses the host of its class.
    return PaperRestApiManager(session.key, session.secret, tld="com", warn_on_update=False)


def main() -> None:
    session = Session()
    rest = rest_manager(session)
    history(session, rest)
    price = float(rest.get_ticker(symbol=SYMBOL)["lastPrice"])
    manager = BinanceWebSocketApiManager(
        exchange="binance.com",
        websocket_base_uri=f"{session.ws}/",
        websocket_api_base_uri=f"{session.ws}/ws-api/v3",
        restful_base_uri=f"{session.url}/api",
        warn_on_update=False,
        process_stream_data=Received(),
    )
    try:
        events = Received()
        manager.create_stream(
            ["arr"],
            ["!userData"],
            api_key=session.key,
            api_secret=session.secret,
            process_stream_data=events,
        )
        with session.check("user data: a deposit"):
            deposit(session, events)
        trading(session, rest, events, price)
        streams(session, manager, rest)
        over_socket(session, manager, events, price)
        with session.check("user data: positions"):
            assert events.event("outboundAccountPosition")["B"]
    finally:
        manager.stop_manager()
    session.end()


def deposit(session: Session, events: Received) -> None:
    # Events before the subscription are not sent, so the action is repeated until one arrives.
    for _ in range(60):
        session.control("deposit", asset="USDT", amount="12.5")
        with events._more:
            if events._more.wait_for(lambda: events.seen, 1.0):
                break
    assert events.event("balanceUpdate")["d"] == "12.50000000"


main()
