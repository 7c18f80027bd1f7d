"""Binance's own SDK on the paper exchange, used as in production except for the host.

The SDK parses every answer into a model with strict types. A check fails if an answer has another
type than its model, or a field that the model does not have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from binance_common.errors import BadRequestError, ClientError, UnauthorizedError
from binance_sdk_spot.spot import Spot
from sdk import COMPLAINTS, known, refused, spot, whole, wished
from sdk_features import features, in_microseconds
from session import DEEP, LISTS, ORDERS, PATIENCE, REFUSED, SYMBOL, Book, Session, priced

# -- REST


def history(session: Session, rest: Any) -> None:
    with session.check("time, exchange info"):
        assert whole(rest.time().data()).server_time > 0
        info = known(rest.exchange_info(symbol=SYMBOL).data())
        kinds = {one.actual_instance.filter_type for one in info.symbols[0].filters}
        assert {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL", "TRAILING_DELTA"} <= kinds
        whole(info.symbols[0])
    with session.check("klines in pages"):
        end = rest.time().data().server_time
        rows: list[Any] = []
        start = end - 2_500 * 60_000
        while start < end:
            page = rest.klines(SYMBOL, "1m", start_time=start, end_time=end, limit=1_000).data()
            rows += page
            start = page[-1][0] + 60_000
        assert 2_499 <= len(rows) <= 2_501
        assert all(b[0] - a[0] == 60_000 for a, b in pairwise(rows))
        assert len(rest.ui_klines(SYMBOL, "5m", limit=7).data()) == 7
    with session.check("trades: recent, historical, aggregated"):
        trades = whole(rest.get_trades(SYMBOL, limit=10).data())
        numbers = [one.id for one in trades]
        old = whole(rest.historical_trades(SYMBOL, limit=5, from_id=numbers[0]).data())
        assert [one.id for one in old] == numbers[:5]
        assert len(whole(rest.agg_trades(SYMBOL, limit=20).data())) == 20
    with session.check("depth"):
        book = whole(rest.depth(SYMBOL, limit=50).data())
        assert len(book.bids) == len(book.asks) == 50
        assert float(book.bids[0][0]) < float(book.asks[0][0])
    with session.check("tickers: 24h, window, day, price, book, average"):
        for call in (rest.ticker24hr, rest.ticker, rest.ticker_trading_day):
            assert float(whole(call(symbol=SYMBOL).data()).actual_instance.last_price) > 0
        assert whole(rest.ticker_price(symbol=SYMBOL).data()).actual_instance.price
        assert whole(rest.ticker_book_ticker(symbol=SYMBOL).data()).actual_instance.ask_price
        assert whole(rest.avg_price(SYMBOL).data()).mins == 5
        assert known(rest.ticker24hr().data()).actual_instance
    with session.check("weights are told"):
        limits = rest.depth(SYMBOL).rate_limits
        assert any(one.rateLimitType == "REQUEST_WEIGHT" and one.count > 0 for one in limits)


def orders(session: Session, rest: Any, price: float) -> None:
    for kind, side, params, status in ORDERS:
        with session.check(f"order {kind} {' '.join(params)}: {status}"):
            sent = {"symbol": SYMBOL, "side": side, "type": kind, **wished(priced(params, price))}
            known(rest.order_test(**sent).data())
            answer = known(rest.new_order(**sent).data())
            order = known(rest.get_order(SYMBOL, order_id=answer.order_id).data())
            assert order.status == status, order.status
    with session.check("a market order in full: every field there is"):
        sent = {
            "symbol": SYMBOL,
            "side": "SELL",
            "type": "MARKET",
            "quantity": round(DEEP / price, 3),
        }
        answer = whole(rest.new_order(**sent).data())
        assert len({one.price for one in answer.fills}) > 1
        trades = whole(rest.my_trades(SYMBOL, order_id=answer.order_id).data())
        assert [one.price for one in trades] == [one.price for one in answer.fills]
    with session.check("open orders, all orders, cancel, cancel all"):
        waiting = known(rest.get_open_orders(symbol=SYMBOL).data())
        assert len(waiting) == sum(status == "NEW" for *_, status in ORDERS)
        assert len(known(rest.all_orders(SYMBOL).data())) == len(ORDERS) + 1
        gone = known(rest.delete_order(SYMBOL, order_id=waiting[0].order_id).data())
        assert (gone.status, gone.orig_client_order_id) == (
            "CANCELED",
            waiting[0].client_order_id,
        )
        assert len(known(rest.delete_open_orders(SYMBOL).data())) == len(waiting) - 1
    with session.check("cancelReplace; amend, keeping priority"):
        sent = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}
        sent |= {"quantity": 0.02, "price": round(price * 0.9, 2)}
        old = rest.new_order(**sent).data()
        replace = {"cancel_replace_mode": "STOP_ON_FAILURE", "cancel_order_id": old.order_id}
        answer = known(rest.order_cancel_replace(**sent, **replace).data())
        assert answer.cancel_result == answer.new_order_result == "SUCCESS"
        new = answer.new_order_response.order_id
        amended = known(rest.order_amend_keep_priority(SYMBOL, 0.01, order_id=new).data())
        assert amended.amended_order.qty == "0.01000000"
    with session.check("cancelReplace that fails whole: -2022"):
        refused(rest.order_cancel_replace, BadRequestError, -2022, **sent, **replace)
    with session.check("cancelReplace that half fails: a ClientError"):
        replace["cancel_order_id"] = new
        try:
            rest.order_cancel_replace(**{**sent, "quantity": 500}, **replace)
        except ClientError as error:
            assert error.error_message == "Order cancel-replace partially failed."
        else:
            raise AssertionError("not refused")


def lists(session: Session, rest: Any, price: float) -> None:
    place = {"OCO": rest.order_list_oco, "OTO": rest.order_list_oto, "OTOCO": rest.order_list_otoco}
    for kind, (params, count) in LISTS.items():
        with session.check(f"order list {kind}"):
            answer = known(place[kind](symbol=SYMBOL, **wished(priced(params, price))).data())
            assert len(answer.orders) == len(answer.order_reports) == count
            number = answer.order_list_id
            asked = whole(rest.get_order_list(order_list_id=number).data())
            assert asked.list_order_status == "EXECUTING"
            assert len(whole(rest.open_order_list().data())) == 1
            gone = known(rest.delete_order_list(SYMBOL, order_list_id=number).data())
            assert gone.list_order_status == "ALL_DONE"
    with session.check("all order lists"):
        assert len(whole(rest.all_order_list().data())) == len(LISTS)


def account(session: Session, rest: Any) -> None:
    with session.check("account, commission, order counts"):
        found = whole(rest.get_account().data())
        assert {one.asset for one in found.balances} >= {"BTC", "USDT"}
        whole(rest.account_commission(SYMBOL).data())
        assert whole(rest.rate_limit_order().data())
        assert known(rest.my_prevented_matches(SYMBOL, order_id=1).data()) == []


def errors(session: Session, rest: Any, price: float) -> None:
    limit = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}
    for what, params, code in REFUSED:
        with session.check(f"refused: {what}: {code}"):
            refused(rest.new_order, BadRequestError, code, **limit, **priced(params, price))
    with session.check("refused: an unknown order, cancelling one, an unknown symbol"):
        refused(rest.get_order, BadRequestError, -2013, symbol=SYMBOL, order_id=77_777_777)
        refused(rest.delete_order, BadRequestError, -2011, symbol=SYMBOL, order_id=77_777_777)
        refused(rest.klines, BadRequestError, -1121, symbol="NONE", interval="1m")
        refused(rest.get_account, BadRequestError, -1131, recv_window=70_000)
    with session.check("refused: a wrong secret, an unknown key"):
        refused(spot(session, session.key, "no").rest_api.get_account, BadRequestError, -1022)
        unknown = spot(session, "A" * 64, "no").rest_api.get_account
        refused(unknown, UnauthorizedError, -2015)


# -- streams


class Frames:
    """The messages of a stream so far."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._more = asyncio.Event()

    def __call__(self, frame: Any) -> None:
        self.seen.append(getattr(frame, "actual_instance", None) or frame)
        self._more.set()

    async def until(self, found: Callable[[Any], Any]) -> Any:
        """Wait for the first matching frame and return it."""
        async with asyncio.timeout(PATIENCE):
            read = 0
            while True:
                for frame in self.seen[read:]:
                    if found(frame):
                        return frame
                    read += 1
                self._more.clear()
                if read == len(self.seen):
                    await self._more.wait()

    async def event(self, kind: str, **fields: object) -> Any:
        """Wait for the first event of a model with these fields, and return it."""
        return await self.until(
            lambda one: (
                type(one).__name__ == kind
                and all(getattr(one, name) == value for name, value in fields.items())
            )
        )


async def streams(session: Session, client: Spot) -> None:
    connection = await client.websocket_streams.create_connection()
    opened: dict[str, Callable[[], Any]] = {
        "kline": lambda: connection.kline(symbol="btcusdt", interval="1m"),
        "trade": lambda: connection.trade(symbol="btcusdt"),
        "aggTrade": lambda: connection.agg_trade(symbol="btcusdt"),
        "bookTicker": lambda: connection.book_ticker(symbol="btcusdt"),
        "miniTicker": lambda: connection.mini_ticker(symbol="btcusdt"),
        "ticker": lambda: connection.ticker(symbol="btcusdt"),
        "ticker_1h": lambda: connection.rolling_window_ticker(symbol="btcusdt", window_size="1h"),
        "avgPrice": lambda: connection.avg_price(symbol="btcusdt"),
        "depth5": lambda: connection.partial_book_depth(symbol="btcusdt", levels="5"),
        "all mini tickers": connection.all_mini_ticker,
        "all tickers of an hour": lambda: connection.all_market_rolling_window_ticker(
            window_size="1h"
        ),
    }
    for name, open_stream in opened.items():
        with session.check(f"stream {name}: every field of the SDK's model"):
            frames = Frames()
            stream = await open_stream()
            stream.on("message", frames)
            frame = await frames.until(lambda one: True)
            whole(frame)
            await stream.unsubscribe()
    with session.check("stream kline tells when one closes"):
        frames = Frames()
        stream = await connection.kline(symbol="ethusdt", interval="1m")
        stream.on("message", frames)
        closed = await frames.until(lambda one: one.k.x)
        assert closed.k.T == closed.k.t + 59_999
        await stream.unsubscribe()
    with session.check("a local order book stays in sync"):
        await follow_book(connection, client.rest_api)
    await connection.close_connection(close_session=True)


def newer(update_id: int) -> Callable[[Any], bool]:
    """Return a function that recognizes a change of the book after an update id."""
    return lambda one: one.u > update_id


async def follow_book(connection: Any, rest: Any) -> None:
    """Maintain a book for a while, and compare it with a snapshot of the same update."""
    frames, book, compared, applied = Frames(), Book(), 0, 0
    stream = await connection.diff_book_depth(symbol="btcusdt", update_speed="100ms")
    stream.on("message", frames)
    await frames.until(lambda one: True)
    shown = await asyncio.to_thread(lambda: rest.depth(SYMBOL, limit=1_000).data())
    book.start(shown.last_update_id, shown.bids, shown.asks)
    while compared < 3:
        shown = await asyncio.to_thread(lambda: rest.depth(SYMBOL, limit=20).data())
        wanted = shown.last_update_id
        while book.update_id < wanted:
            await frames.until(newer(book.update_id))
            while applied < len(frames.seen) and book.update_id < wanted:
                change = whole(frames.seen[applied])
                book.apply(change.U, change.u, change.b, change.a)
                applied += 1
        if book.update_id == wanted:
            bids, asks = book.best(20)
            assert [list(one) for one in bids] == shown.bids
            assert [list(one) for one in asks] == shown.asks
            compared += 1
        await frames.until(newer(wanted))
    await stream.unsubscribe()


# -- WebSocket API


def told(response: Any) -> Any:
    """Return the result of an answer of the WebSocket API."""
    data = response.data()
    assert not isinstance(data, dict) or "error" not in data, data
    COMPLAINTS.none()
    return data.result


def code_of(response: Any) -> int:
    """Return the error code of a refusal of the WebSocket API."""
    COMPLAINTS.texts.clear()
    data = response.data()
    assert isinstance(data, dict), data
    return int(data["error"]["code"])


async def over_socket(session: Session, client: Spot, price: float, *, logon: bool) -> None:
    connection = await client.websocket_api.create_connection()
    events = Frames()
    name = "a session logged on" if logon else "signed requests"
    with session.check(f"WS-API, {name}: user data"):
        if logon:
            assert told(await connection.session_logon()).api_key == session.signing_key
            assert told(await connection.session_status()).authorized_since
            stream = (await connection.user_data_stream_subscribe()).stream
        else:
            stream = (await connection.user_data_stream_subscribe_signature()).stream
        stream.on("message", events)
    with session.check(f"WS-API, {name}: market data"):
        assert told(await connection.time()).server_time
        assert len(told(await connection.klines(symbol=SYMBOL, interval="1m", limit=3))) == 3
        assert told(await connection.depth(symbol=SYMBOL, limit=5)).bids
        # The SDK has no model of the whole answer.
        info = (await connection.exchange_info(symbol=SYMBOL)).data().to_dict()["result"]
        assert info["symbols"][0]["symbol"] == SYMBOL
        assert told(await connection.trades_recent(symbol=SYMBOL, limit=3))
        assert told(await connection.trades_aggregate(symbol=SYMBOL, limit=3))
        assert told(await connection.avg_price(symbol=SYMBOL)).mins == 5
    with session.check(f"WS-API, {name}: an order that trades, and its events"):
        answer = told(
            await connection.order_place(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        )
        number = answer.order_id
        assert answer.status == "FILLED"
        report = await events.event("ExecutionReport", i=number, x="NEW")
        whole(report, *RARE)
        for fill in answer.fills:
            traded = await events.event("ExecutionReport", i=number, t=int(fill.trade_id))
            assert (traded.L, traded.l) == (fill.price, fill.qty)
            assert (traded.n, traded.N) == (fill.commission, fill.commission_asset)
        whole(await events.event("OutboundAccountPosition"))
    with session.check(f"WS-API, {name}: an order that rests, is asked about and cancelled"):
        sent = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}
        sent |= {"quantity": 0.01, "price": round(price * 0.9, 2)}
        number = told(await connection.order_place(**sent)).order_id
        assert told(await connection.order_status(symbol=SYMBOL, order_id=number)).status == "NEW"
        assert len(told(await connection.open_orders_status(symbol=SYMBOL))) == 1
        gone = told(await connection.order_cancel(symbol=SYMBOL, order_id=number))
        assert gone.status == "CANCELED"
        event = await events.event("ExecutionReport", i=number, x="CANCELED")
        assert (event.C, event.c) == (gone.orig_client_order_id, gone.client_order_id)
    for kind, (params, count) in LISTS.items():
        with session.check(f"WS-API, {name}: order list {kind}"):
            place = getattr(connection, f"order_list_place_{kind.lower()}")
            answer = told(await place(symbol=SYMBOL, **wished(priced(params, price))))
            number = answer.order_list_id
            started = whole(await events.event("ListStatus", g=number, l="EXEC_STARTED"))
            assert len(started.O) == count
            cancel = connection.order_list_cancel(symbol=SYMBOL, order_list_id=number)
            assert told(await cancel).list_order_status == "ALL_DONE"
            await events.event("ListStatus", g=number, l="ALL_DONE")
    with session.check(f"WS-API, {name}: account, trades, refusals"):
        assert told(await connection.account_status()).can_trade
        assert told(await connection.my_trades(symbol=SYMBOL))
        assert told(await connection.account_rate_limits_orders())
        asked = await connection.order_status(symbol=SYMBOL, order_id=77_777_777)
        assert code_of(asked) == -2013
        tried = await connection.order_place(**{**sent, "price": 1.0})
        assert code_of(tried) == -1013
    if not logon:
        with session.check("event balanceUpdate after a deposit"):
            session.control("deposit", asset="USDT", amount="12.5")
            update = whole(await events.event("BalanceUpdate"))
            assert (update.a, update.d) == ("USDT", "12.50000000")
    else:
        with session.check("a session logs out"):
            told(await connection.session_logout())
            COMPLAINTS.none()
    await connection.close_connection(close_session=True)


RARE = ("d", "D", "j", "J", "v", "A", "B", "u", "U", "Cs", "pl", "pL", "pY", "b", "a", "k", "uS")
RARE += ("gP", "g_ot", "g_ov", "gp", "eR", "W", "V", "N")
"""Fields that only some execution reports have."""


async def sockets(session: Session, client: Spot, signing: Spot, price: float) -> None:
    await streams(session, client)
    await over_socket(session, client, price, logon=False)
    await over_socket(session, signing, price, logon=True)


def main() -> None:
    session = Session()
    logging.getLogger().addHandler(COMPLAINTS)
    client = spot(session, session.key, session.secret)
    signing = spot(session, session.signing_key, None, session.private_key)
    rest = client.rest_api
    price = float(rest.ticker_price(symbol=SYMBOL).data().actual_instance.price)
    history(session, rest)
    orders(session, rest, price)
    lists(session, rest, price)
    features(session, rest, price)
    account(session, rest)
    errors(session, rest, price)
    with session.check("Ed25519: account and an order"):
        assert whole(signing.rest_api.get_account().data()).can_trade
    asyncio.run(sockets(session, client, signing, price))
    asyncio.run(in_microseconds(session))
    session.end()


main()
