"""The paper exchange as plain ccxt.pro sees it, without botlib in the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import ccxt.pro
import pytest

from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket

BTC = "BTC/USDT"


@pytest.fixture
async def served(serve: Any, start_time: int) -> Any:
    return await serve(SyntheticMarket(42), pace=MarketPace(60.0), start=start_time)


@pytest.fixture
async def binance(served: Any) -> AsyncIterator[Any]:
    rest, ws = served.url, served.url.replace("http", "ws")
    exchange = ccxt.pro.binance(
        {
            "apiKey": PAPER_API_KEY,
            "secret": PAPER_API_SECRET,
            "enableRateLimit": False,
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "fetchMargins": False,
                "fetchCurrencies": False,
                "defaultType": "spot",
            },
            "urls": {
                "api": {
                    "public": f"{rest}/api/v3",
                    "private": f"{rest}/api/v3",
                    "v1": f"{rest}/api/v1",
                    "sapi": f"{rest}/sapi/v1",
                    "ws": {
                        "spot": f"{ws}/stream/ws",
                        "margin": f"{ws}/stream/ws",
                        "ws-api": {"spot": f"{ws}/ws-api/v3"},
                    },
                }
            },
        }
    )
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def test_markets_and_history(binance: Any) -> None:
    market = binance.market(BTC)
    assert market["spot"] and market["active"]
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 0.00001)
    assert market["limits"]["cost"]["min"] == 5
    candles = await binance.fetch_ohlcv(BTC, "5m", limit=10)
    assert [b[0] - a[0] for a, b in pairwise(candles)] == [300_000] * 9
    assert (await binance.fetch_ticker(BTC))["last"] > 0
    assert set(await binance.fetch_tickers()) >= {BTC, "ETH/USDT"}
    assert len(await binance.fetch_trades(BTC, limit=20)) == 20
    assert (await binance.fetch_order_book(BTC, 5))["bids"]
    assert (await binance.fetch_trading_fee(BTC))["taker"] == 0.001
    assert (await binance.fetch_status())["status"] == "ok"


async def test_streams(binance: Any) -> None:
    async with asyncio.timeout(60):
        candles = await binance.watch_ohlcv(BTC, "1m")
        first = candles[-1][0]
        while candles[-1][0] == first:
            candles = await binance.watch_ohlcv(BTC, "1m")
        assert candles[-1][0] == first + 60_000
        ticker = await binance.watch_ticker(BTC)
        book = await binance.watch_order_book(BTC)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert abs(book["bids"][0][0] / ticker["last"] - 1) < 0.05
        assert (await binance.watch_trades(BTC))[-1]["amount"] > 0
        assert (await binance.watch_bids_asks([BTC]))[BTC]["ask"] > 0


async def test_orders_from_placement_to_their_end(served: Any, binance: Any) -> None:
    updates: list[Any] = []

    async def watch() -> None:
        while True:
            updates.extend(await binance.watch_orders())

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        async with asyncio.timeout(60):
            while not served.venue.users.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            bought = await binance.create_order(BTC, "market", "buy", 0.01)
            assert (bought["status"], bought["filled"]) == ("closed", 0.01)
            assert bought["fees"] == [{"currency": "BTC", "cost": 0.00001}]
            high = binance.price_to_precision(BTC, bought["average"] * 1.5)
            sold = await binance.create_order(BTC, "limit", "sell", 0.005, high)
            assert sold["status"] == "open"
            assert (await binance.fetch_order(sold["id"], BTC))["status"] == "open"
            assert [one["id"] for one in await binance.fetch_open_orders(BTC)] == [sold["id"]]
            balance = (await binance.fetch_balance())["BTC"]
            assert balance == {"free": 0.00499, "used": 0.005, "total": 0.00999}
            canceled = await binance.cancel_order(sold["id"], BTC)
            assert canceled["status"] == "canceled"
            assert await binance.fetch_open_orders(BTC) == []
            [trade] = await binance.fetch_my_trades(BTC)
            assert (trade["order"], trade["price"]) == (bought["id"], bought["average"])
            paid = await binance.create_order("ETH/USDT", "market", "buy", None, None, {"cost": 50})
            assert paid["cost"] <= 50
            over_ws = await binance.create_order_ws(BTC, "market", "sell", 0.001)
            assert over_ws["status"] == "closed"
            wanted = {(bought["id"], "closed"), (sold["id"], "canceled"), (paid["id"], "closed")}
            while not wanted <= {(one["id"], one["status"]) for one in updates}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (("market", "buy", 100.0, None), ccxt.InsufficientFunds),
        (("limit", "buy", 0.01, 1.0), ccxt.InvalidOrder),
        (("market", "buy", 0.00001, None), ccxt.BadRequest),
    ],
)
async def test_refusals_become_ccxt_errors(
    binance: Any, order: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await binance.create_order(BTC, *order)
    with pytest.raises(ccxt.OrderNotFound):
        await binance.fetch_order("77", BTC)
