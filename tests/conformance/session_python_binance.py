"""python-binance on the paper exchange, used as in production except for the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from typing import Any

from binance import AsyncClient, BinanceSocketManager, Client
from binance.base_client import BaseClient
from binance.exceptions import BinanceAPIException
from binance.ws.depthcache import DepthCacheManager
from session import DEEP, LISTS, ORDERS, PATIENCE, REFUSED, SYMBOL, Session, priced


def blocking(session: Session) -> None:
    """Checks of the synchronous client."""
    with session.check("Client() pings and reads the server's time"):
        client = Client(session.key, session.secret)
    with session.check("exchange info: one symbol, its filters"):
        info = client.get_symbol_info(SYMBOL)
        kinds = {one["filterType"] for one in info["filters"]}
        assert {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL", "MARKET_LOT_SIZE"} <= kinds
        assert client.get_exchange_info()["symbols"]
    with session.check("klines, ui klines"):
        rows = client.get_klines(symbol=SYMBOL, interval="1m", limit=5)
        assert [b[0] - a[0] for a, b in pairwise(rows)] == [60_000] * 4
        assert all(len(row) == 12 for row in rows)
        assert len(client.get_ui_klines(symbol=SYMBOL, interval="5m", limit=5)) == 5
    with session.check("historical klines in pages"):
        now = client.get_server_time()["serverTime"]
        rows = client.get_historical_klines(SYMBOL, "1m", now - 2_500 * 60_000, now)
        assert 2_499 <= len(rows) <= 2_501, len(rows)
        assert all(b[0] - a[0] == 60_000 for a, b in pairwise(rows))
        with_generator = client.get_historical_klines_generator(SYMBOL, "1h", now - 86_400_000)
        assert 23 <= len(list(with_generator)) <= 25
    with session.check("trades: recent, historical, aggregated in pages"):
        trades = client.get_recent_trades(symbol=SYMBOL, limit=10)
        assert [b["id"] - a["id"] for a, b in pairwise(trades)] == [1] * 9
        old = client.get_historical_trades(symbol=SYMBOL, fromId=trades[0]["id"], limit=5)
        assert [one["id"] for one in old] == [one["id"] for one in trades[:5]]
        first = client.get_aggregate_trades(symbol=SYMBOL, limit=1_000)[0]["a"]
        paged = client.aggregate_trade_iter(SYMBOL, last_id=first)
        numbers = [next(paged)["a"] for _ in range(600)]
        assert numbers == list(range(numbers[0], numbers[0] + 600))
    with session.check("order book"):
        book = client.get_order_book(symbol=SYMBOL, limit=20)
        assert float(book["bids"][0][0]) < float(book["asks"][0][0])
        assert len(book["bids"]) == len(book["asks"]) == 20
    with session.check("tickers: 24h, window, day, price, book, average"):
        assert float(client.get_ticker(symbol=SYMBOL)["lastPrice"]) > 0
        assert float(client.get_symbol_ticker_window(symbol=SYMBOL, windowSize="4h")["volume"]) > 0
        assert client.v3_get_ticker_trading_day(symbol=SYMBOL)["symbol"] == SYMBOL
        assert {one["symbol"] for one in client.get_all_tickers()} >= {SYMBOL, "ETHUSDT"}
        assert float(client.get_orderbook_ticker(symbol=SYMBOL)["askPrice"]) > 0
        assert client.get_avg_price(symbol=SYMBOL)["mins"] == 5
    with session.check("what Binance removed answers 410"):
        assert refused(client.stream_get_listen_key).status_code == 410
    client.close_connection()


def refused(call: Callable[..., Any], **params: Any) -> BinanceAPIException:
    try:
        answer = call(**params)
    except BinanceAPIException as error:
        return error
    raise AssertionError(f"not refused: {answer}")


async def refusal(call: Callable[..., Any], **params: Any) -> BinanceAPIException:
    try:
        answer = await call(**params)
    except BinanceAPIException as error:
        return error
    raise AssertionError(f"not refused: {answer}")


async def streams(session: Session, client: AsyncClient) -> None:
    manager = BinanceSocketManager(client)
    sockets = {
        "kline": manager.kline_socket(SYMBOL, "1m"),
        "trade": manager.trade_socket(SYMBOL),
        "aggTrade": manager.aggtrade_socket(SYMBOL),
        "24hrMiniTicker": manager.symbol_miniticker_socket(SYMBOL),
        "24hrTicker": manager.symbol_ticker_socket(SYMBOL),
        "depthUpdate": manager.depth_socket(SYMBOL),
    }
    for event, socket in sockets.items():
        with session.check(f"stream {event}"):
            async with asyncio.timeout(PATIENCE), socket as listening:
                frame = await listening.recv()
                assert (frame["e"], frame["s"]) == (event, SYMBOL), frame
    with session.check("stream of klines tells when one closes"):
        async with asyncio.timeout(PATIENCE), manager.kline_socket("ETHUSDT", "1m") as listening:
            while not (frame := await listening.recv())["k"]["x"]:
                pass
            assert frame["k"]["T"] == frame["k"]["t"] + 59_999
    with session.check("stream bookTicker"):
        socket = manager.symbol_book_ticker_socket(SYMBOL)
        async with asyncio.timeout(PATIENCE), socket as listening:
            assert float((await listening.recv())["a"]) > 0
    with session.check("stream of partial depth"):
        socket = manager.depth_socket(SYMBOL, depth="10")
        async with asyncio.timeout(PATIENCE), socket as listening:
            assert len((await listening.recv())["bids"]) == 10
    with session.check("all mini tickers"):
        async with asyncio.timeout(PATIENCE), manager.miniticker_socket() as listening:
            assert (await listening.recv())[0]["e"] == "24hrMiniTicker"
    with session.check("several streams on one socket"):
        wanted = {"btcusdt@kline_1m", "ethusdt@trade", "btcusdt@bookTicker"}
        async with asyncio.timeout(PATIENCE), manager.multiplex_socket(list(wanted)) as listening:
            seen: set[str] = set()
            while seen != wanted:
                seen.add((await listening.recv())["stream"])
    with session.check("the client's own order book stays in sync"):
        async with asyncio.timeout(PATIENCE):
            await follow_book(client)


async def follow_book(client: AsyncClient) -> None:
    """Maintain a book for a while, and compare it with a snapshot of the same update."""
    compared = 0
    async with DepthCacheManager(client, SYMBOL, limit=1_000, ws_interval=100) as manager:
        for _ in range(20):
            await manager.recv()
        while compared < 3:
            snapshot = await client.get_order_book(symbol=SYMBOL, limit=20)
            while manager._last_update_id < snapshot["lastUpdateId"]:
                await manager.recv()
            if manager._last_update_id == snapshot["lastUpdateId"]:
                cache = manager.get_depth_cache()
                for kept, shown in (
                    (cache.get_bids(), snapshot["bids"]),
                    (cache.get_asks(), snapshot["asks"]),
                ):
                    assert kept[:20] == [[float(a), float(b)] for a, b in shown]
                compared += 1
            else:
                await manager.recv()


class Events:
    """The user events so far."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self._more = asyncio.Condition()

    async def listen(self, socket: Any) -> None:
        while True:
            event = await socket.recv()
            async with self._more:
                self.seen.append(event)
                self._more.notify_all()

    async def wait(self, kind: str, **fields: object) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for one in self.seen:
                if one["e"] == kind and all(one.get(k) == v for k, v in fields.items()):
                    return one
            return None

        return await self.until(found)

    async def until(self, true: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE), self._more:
            return await self._more.wait_for(true)


async def trading(session: Session, client: AsyncClient) -> None:
    events = Events()
    async with BinanceSocketManager(client).user_socket() as socket:
        listening = asyncio.create_task(events.listen(socket))
        price = float((await client.get_symbol_ticker(symbol=SYMBOL))["price"])
        await orders(session, client, events, price)
        await changes(session, client, events, price)
        await lists(session, client, events, price)
        await over_socket(session, client, events, price)
        with session.check("event balanceUpdate after a deposit"):
            session.control("deposit", asset="USDT", amount="12.5")
            assert (await events.wait("balanceUpdate"))["d"] == "12.50000000"
        with session.check("an amount for each asset: positions told = account asked"):
            await positions(client, events)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
    await errors(session, client, price)


async def positions(client: AsyncClient, events: Events) -> None:
    # The last event may still be on its way.
    account = {one["asset"]: one for one in (await client.get_account())["balances"]}
    shown = {asset: (one["free"], one["locked"]) for asset, one in account.items()}

    def told() -> bool:
        last: dict[str, tuple[str, str]] = {}
        for event in events.seen:
            if event["e"] == "outboundAccountPosition":
                last.update({one["a"]: (one["f"], one["l"]) for one in event["B"]})
        return bool(last) and all(shown[asset] == amounts for asset, amounts in last.items())

    await events.until(told)


async def orders(session: Session, client: AsyncClient, events: Events, price: float) -> None:
    for kind, side, params, status in ORDERS:
        with session.check(f"order {kind} {' '.join(params)}: {status}"):
            sent = {"symbol": SYMBOL, "side": side, "type": kind, **priced(params, price)}
            assert await client.create_test_order(**sent) == {}
            answer = await client.create_order(**sent)
            number = answer["orderId"]
            order = await client.get_order(symbol=SYMBOL, orderId=number)
            assert order["status"] == status, order
            fills = answer.get("fills", [])
            assert sum(Decimal(one["qty"]) for one in fills) == Decimal(order["executedQty"])
            await events.wait("executionReport", i=number, x="NEW")
            if status != "NEW":
                await events.wait("executionReport", i=number, X=status)
            for fill in fills:
                event = await events.wait("executionReport", i=number, t=fill["tradeId"])
                assert (event["L"], event["l"]) == (fill["price"], fill["qty"])
                assert (event["n"], event["N"]) == (fill["commission"], fill["commissionAsset"])
    with session.check("a large order fills level by level"):
        amount = f"{DEEP / price:.3f}"
        answer = await client.order_market_sell(symbol=SYMBOL, quantity=amount)
        assert len({one["price"] for one in answer["fills"]}) > 1
        trades = await client.get_my_trades(symbol=SYMBOL, orderId=answer["orderId"])
        assert len(trades) == len(answer["fills"])
    with session.check("open orders, all orders, my trades"):
        waiting = sum(status == "NEW" for *_, status in ORDERS)
        assert len(await client.get_open_orders(symbol=SYMBOL)) == waiting
        assert len(await client.get_open_orders()) == waiting
        assert len(await client.get_all_orders(symbol=SYMBOL)) == len(ORDERS) + 1
        assert await client.get_my_trades(symbol=SYMBOL)
    with session.check("cancel: the answer and the event name both ids"):
        order = (await client.get_open_orders(symbol=SYMBOL))[0]
        answer = await client.cancel_order(symbol=SYMBOL, orderId=order["orderId"])
        assert answer["origClientOrderId"] == order["clientOrderId"]
        event = await events.wait("executionReport", i=order["orderId"], x="CANCELED")
        assert (event["C"], event["c"]) == (order["clientOrderId"], answer["clientOrderId"])
    with session.check("cancel all"):
        answer = await client.cancel_all_open_orders(symbol=SYMBOL)
        assert len(answer) == waiting - 1
        assert await client.get_open_orders() == []


async def changes(session: Session, client: AsyncClient, events: Events, price: float) -> None:
    rest = {"symbol": SYMBOL, "side": "BUY", "timeInForce": "GTC", "quantity": "0.01"}
    low, lower = (f"{price * one:.2f}" for one in (0.9, 0.8))
    with session.check("cancelReplace"):
        old = await client.order_limit_buy(symbol=SYMBOL, quantity="0.01", price=low)
        answer = await client.cancel_replace_order(
            **rest,
            type="LIMIT",
            price=lower,
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrderId=old["orderId"],
        )
        assert answer["cancelResult"] == answer["newOrderResult"] == "SUCCESS"
        new = answer["newOrderResponse"]["orderId"]
        assert (await client.get_order(symbol=SYMBOL, orderId=new))["price"] == f"{lower}000000"
        await events.wait("executionReport", i=old["orderId"], x="CANCELED")
        await events.wait("executionReport", i=new, x="NEW")
    with session.check("cancelReplace that half fails: 409, -2021"):
        error = await refusal(
            client.cancel_replace_order,
            **{**rest, "quantity": "500.00000"},
            type="LIMIT",
            price=lower,
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrderId=new,
        )
        assert (error.status_code, error.code) == (409, -2021)
    with session.check("cancelReplace that fails whole: 400, -2022"):
        error = await refusal(
            client.cancel_replace_order,
            **rest,
            type="LIMIT",
            price=lower,
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrderId=new,
        )
        assert (error.status_code, error.code) == (400, -2022)


async def lists(session: Session, client: AsyncClient, events: Events, price: float) -> None:
    place = {
        "OCO": client.create_oco_order,
        "OTO": client.v3_post_order_list_oto,
        "OTOCO": client.v3_post_order_list_otoco,
    }
    for kind, (params, count) in LISTS.items():
        with session.check(f"order list {kind}"):
            answer = await place[kind](symbol=SYMBOL, **priced(params, price))
            number = answer["orderListId"]
            assert answer["contingencyType"] == ("OCO" if kind == "OCO" else "OTO")
            assert len(answer["orders"]) == count
            event = await events.wait("listStatus", g=number, l="EXEC_STARTED")
            assert len(event["O"]) == count
            asked = await client.v3_get_order_list(orderListId=number)
            assert asked["listOrderStatus"] == "EXECUTING"
            assert [one["orderListId"] for one in await client.get_open_oco_orders()] == [number]
            gone = await client.v3_delete_order_list(symbol=SYMBOL, orderListId=number)
            assert gone["listOrderStatus"] == "ALL_DONE"
            await events.wait("listStatus", g=number, l="ALL_DONE")
    with session.check("all order lists"):
        assert len(await client.v3_get_all_order_list()) == len(LISTS)


async def over_socket(session: Session, client: AsyncClient, events: Events, price: float) -> None:
    low = f"{price * 0.9:.2f}"
    with session.check("WS-API: order, its status, its cancellation"):
        order = await client.ws_order_limit_buy(symbol=SYMBOL, quantity="0.01", price=low)
        number = order["orderId"]
        assert (await client.ws_get_order(symbol=SYMBOL, orderId=number))["status"] == "NEW"
        assert len(await client.ws_get_open_orders(symbol=SYMBOL)) == 1
        gone = await client.ws_cancel_order(symbol=SYMBOL, orderId=number)
        assert gone["status"] == "CANCELED"
        await events.wait("executionReport", i=number, x="CANCELED")
    with session.check("WS-API: OCO"):
        params = priced(LISTS["OCO"][0], price)
        answer = await client.ws_create_oco_order(symbol=SYMBOL, **params)
        assert answer["contingencyType"] == "OCO"
        assert len(await client.ws_cancel_all_open_orders(symbol=SYMBOL)) == 1
    with session.check("WS-API: market data"):
        assert len(await client.ws_get_klines(symbol=SYMBOL, interval="1m", limit=3)) == 3
        assert (await client.ws_get_order_book(symbol=SYMBOL, limit=5))["bids"]
        assert await client.ws_get_recent_trades(symbol=SYMBOL, limit=3)
        assert (await client.ws_get_time())["serverTime"]
        assert (await client.ws_get_exchange_info(symbol=SYMBOL))["symbols"]
    with session.check("WS-API: account, trades, limits"):
        assert (await client.ws_get_account())["canTrade"]
        assert await client.ws_get_my_trades(symbol=SYMBOL)
        assert await client.ws_get_account_rate_limits_orders()
    with session.check("WS-API: an error keeps its code"):
        error = await refusal(client.ws_get_order, symbol=SYMBOL, orderId=77_777_777)
        assert error.code == -2013


async def errors(session: Session, client: AsyncClient, price: float) -> None:
    for what, params, code in REFUSED:
        with session.check(f"refused: {what}: {code}"):
            error = await refusal(client.order_limit_buy, symbol=SYMBOL, **priced(params, price))
            assert (error.code, error.status_code) == (code, 400), error
    calls: list[tuple[str, Callable[..., Any], dict[str, object], int]] = [
        ("an unknown order", client.get_order, {"symbol": SYMBOL, "orderId": 77_777_777}, -2013),
        ("cancelling one", client.cancel_order, {"symbol": SYMBOL, "orderId": 77_777_777}, -2011),
        ("an unknown symbol", client.get_klines, {"symbol": "NONE", "interval": "1m"}, -1121),
        ("an unknown interval", client.get_klines, {"symbol": SYMBOL, "interval": "7m"}, -1120),
        ("a missing parameter", client.create_order, {"symbol": SYMBOL, "side": "BUY"}, -1102),
    ]
    for what, call, wanted, code in calls:
        with session.check(f"refused: {what}: {code}"):
            assert (await refusal(call, **wanted)).code == code
    with session.check("refused: a wrong secret: -1022"):
        other = AsyncClient(session.key, "wrong")
        assert (await refusal(other.get_account)).code == -1022
        await other.close_connection()
    with session.check("refused: a clock behind: -1021"):
        client.timestamp_offset, kept = -60_000, client.timestamp_offset
        assert (await refusal(client.get_account)).code == -1021
        client.timestamp_offset = kept
    with session.check("refused: too wide a window: -1131"):
        client.REQUEST_RECVWINDOW, usual = 70_000, client.REQUEST_RECVWINDOW
        assert (await refusal(client.get_account)).code == -1131
        client.REQUEST_RECVWINDOW = usual


async def with_ed25519(session: Session) -> None:
    with session.check("Ed25519: account and an order"):
        with open(session.private_key) as file:  # noqa: ASYNC230, PTH123
            pem = file.read()
        client = await AsyncClient.create(session.signing_key, private_key=pem)
        assert (await client.get_account())["canTrade"]
        order = await client.order_market_buy(symbol=SYMBOL, quantity="0.001")
        assert order["status"] == "FILLED"
        await client.close_connection()


async def asynchronous(session: Session) -> None:
    client = await AsyncClient.create(session.key, session.secret)
    try:
        await streams(session, client)
        await trading(session, client)
        await with_ed25519(session)
    finally:
        await client.close_connection()


def main() -> None:
    session = Session()
    BaseClient.API_URL = f"{session.url}/api"
    BaseClient.MARGIN_API_URL = f"{session.url}/sapi"
    BaseClient.WS_API_URL = f"{session.ws}/ws-api/v3"
    BinanceSocketManager.STREAM_URL = f"{session.ws}/"
    blocking(session)
    asyncio.run(asynchronous(session))
    session.end()


main()
