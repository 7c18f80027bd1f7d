"""Administration of accounts and symbols while the venue runs."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from botlib.core.errors import PaperExchangeError
from botlib.paper import PaperExchange, PaperOptions
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.operator.administration import api_credentials

LOCKSTEP = MarketPace(None, lockstep=True)
STREAM = "btcusdt@kline_1m"
REST = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "1"}


@pytest.fixture
def market(candles: Callable[..., ReplayMarket]) -> ReplayMarket:
    flat = {minute: (100, 100, 100, 100, 1) for minute in range(4)}
    bnb = {minute: (500, 500, 500, 500, 1) for minute in range(4)}
    return candles(BTCUSDT=flat, BNBUSDT=bnb)


@pytest.fixture
async def served(serve: Any, market: ReplayMarket) -> Any:
    return await serve(market, pace=LOCKSTEP)


async def as_account(served: Any, method: str, path: str, name: str, **params: object) -> Any:
    import hashlib
    import hmac

    key, secret = api_credentials(name)
    query = urlencode({"timestamp": time.time_ns() // 1_000_000, **params})
    digest = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    return await served.call(method, path, f"{query}&signature={digest}", key=key)


async def operator_request(served: Any, path: str, **body: object) -> tuple[int, Any]:
    async with served.session.post(f"{served.url}/paper/v1/{path}", json=body) as response:
        return response.status, await response.json()


async def test_accounts_see_only_their_own_orders_and_balances(served: Any) -> None:
    status, opened = await operator_request(
        served, "accounts", account="anna", balances={"USDT": "1000"}
    )
    assert (status, opened["key"]) == (200, api_credentials("anna").key)
    user = await served.user_stream()
    order = {"symbol": "BTCUSDT", "side": "BUY", "price": "90", **REST}
    status, placed = await as_account(served, "POST", "order", "anna", **order)
    assert status == 200, placed
    mine = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="91")
    assert (await user.next())["event"]["i"] == mine["orderId"]
    _, waiting = await served.signed("GET", "openOrders")
    assert [one["orderId"] for one in waiting] == [mine["orderId"]]
    number = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    assert await served.refused("GET", "order", **number) == -2013
    assert await served.refused("DELETE", "order", **number) == -2011
    _, account = await as_account(served, "GET", "account", "anna")
    assert [one for one in account["balances"] if float(one["free"])] == [
        {"asset": "USDT", "free": "910.00000000", "locked": "90.00000000"}
    ]
    assert (await as_account(served, "GET", "account", "berta"))[0] == 401


async def test_accounts_survive_a_restart(serve: Any, market: ReplayMarket, tmp_path: Any) -> None:
    path = tmp_path / "l.db"
    served = await serve(market, pace=LOCKSTEP, ledger=path)
    await served.exchange.administration.open_account("anna", {"USDT": Decimal(5)})
    await served.exchange.administration.burn_bnb("anna", True)
    await served.exchange.close()
    again = await serve(market, pace=LOCKSTEP, ledger=path)
    status, account = await as_account(again, "GET", "account", "anna", omitZeroBalances="true")
    assert (status, account["balances"][0]["free"]) == (200, "5.00000000")
    assert again.venue.engine.state.account("anna").burns_bnb


async def test_deposits_and_withdrawals_have_user_events(served: Any) -> None:
    user = await served.user_stream()
    assert (await operator_request(served, "deposit", asset="USDT", amount="5.5"))[0] == 200
    event = (await user.next())["event"]
    assert (event["e"], event["a"], event["d"]) == ("balanceUpdate", "USDT", "5.50000000")
    assert (await user.next())["event"]["e"] == "outboundAccountPosition"
    assert (await operator_request(served, "withdraw", asset="USDT", amount=10_000))[0] == 200
    assert (await user.next())["event"]["d"] == "-10000.00000000"
    status, answer = await operator_request(served, "withdraw", asset="USDT", amount=10)
    assert status == 400 and "5.5" in answer["error"]
    for wrong in ("-1", "much", None, True, "1e-30", "1e100000", "0.000000001"):
        assert (await operator_request(served, "deposit", asset="USDT", amount=wrong))[0] == 400
    _, books = await operator_request(served, "books")
    assert (books["USDT"]["deposited"], books["USDT"]["imbalance"]) == ("5.50000000", "0.00000000")


async def test_commissions_are_paid_in_bnb_while_there_is_enough(served: Any) -> None:
    await served.exchange.administration.deposit("main", "BNB", Decimal("0.0002"))
    assert (await operator_request(served, "fees", bnb=True))[0] == 200
    _, told = await served.signed("GET", "account/commission", symbol="BTCUSDT")
    assert told["discount"] == {
        "enabledForAccount": True,
        "enabledForSymbol": True,
        "discountAsset": "BNB",
        "discount": "0.75000000",
    }
    first = await served.order("BUY", "MARKET", quantity="1")
    # 0.1 USDT minus 25 %, at 500 USDT per BNB.
    assert first["fills"][0]["commission"] == "0.00015000"
    assert first["fills"][0]["commissionAsset"] == "BNB"
    assert await served.balance("BTC") == ("1.00000000", "0.00000000")
    second = await served.order("BUY", "MARKET", quantity="1")
    assert second["fills"][0]["commissionAsset"] == "BTC"
    assert second["fills"][0]["commission"] == "0.00100000"


async def test_a_halted_symbol_accepts_cancellations_only(served: Any) -> None:
    order = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="100.5")
    waiting = await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="99")
    assert order["status"] == "FILLED"
    assert (await operator_request(served, "status", symbol="BTCUSDT", status="BREAK"))[0] == 200
    info = await served.get("exchangeInfo", symbol="BTCUSDT")
    assert info["symbols"][0]["status"] == "BREAK"
    params = {"symbol": "BTCUSDT", "side": "BUY", "price": "90", **REST}
    status, answer = await served.signed("POST", "order", **params)
    assert (status, answer) == (400, {"code": -2010, "msg": "Market is closed."})
    number = {"symbol": "BTCUSDT", "orderId": waiting["orderId"]}
    assert (await served.signed("DELETE", "order", **number))[0] == 200
    await operator_request(served, "status", symbol="BTCUSDT", status="TRADING")
    assert (await served.signed("POST", "order", **params))[0] == 200
    status, answer = await operator_request(served, "status", symbol="BTCUSDT", status="BROKE")
    assert status == 400 and "Did you mean" in answer["error"]


async def test_delisting_expires_orders_and_unlocks_balances(served: Any) -> None:
    await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="90")
    user = await served.user_stream()
    assert (await operator_request(served, "delist", symbol="BTCUSDT"))[0] == 200
    event = (await user.next())["event"]
    assert (event["x"], event["X"]) == ("EXPIRED", "EXPIRED")
    assert await served.balance("USDT") == ("10000.00000000", "0.00000000")
    info = await served.get("exchangeInfo")
    assert [one["symbol"] for one in info["symbols"]] == ["BNBUSDT"]
    params = {"symbol": "BTCUSDT", "side": "BUY", "price": "90", **REST}
    assert await served.refused("POST", "order", **params) == -1121
    await served.advance("bnbusdt@kline_1m")
    assert (await operator_request(served, "delist", symbol="BTCUSDT"))[0] == 400


async def test_filters_change_while_the_venue_runs(served: Any) -> None:
    status, rules = await operator_request(
        served, "rules", symbol="BTCUSDT", tick="0.5", min_cost=150
    )
    assert (status, rules["tick"]) == (200, "0.5")
    info = await served.get("exchangeInfo", symbol="BTCUSDT")
    filters = {one["filterType"]: one for one in info["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.50000000"
    params = {"symbol": "BTCUSDT", "side": "BUY", **REST}
    _, answer = await served.signed("POST", "order", price="90.2", **params)
    assert answer["msg"] == "Filter failure: PRICE_FILTER"
    _, answer = await served.signed("POST", "order", price="90.5", **params)
    assert answer["msg"] == "Filter failure: NOTIONAL"
    await operator_request(served, "rules", symbol="BTCUSDT", max_position="1.5", min_cost=5)
    await served.order("BUY", "LIMIT", timeInForce="GTC", quantity="1", price="90")
    _, answer = await served.signed("POST", "order", price="90", **params)
    assert answer["msg"] == "Filter failure: MAX_POSITION"
    await operator_request(
        served, "rules", symbol="BTCUSDT", market_max_amount="0.5", max_position=0
    )
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    _, answer = await served.signed("POST", "order", **market)
    assert answer["msg"] == "Filter failure: MARKET_LOT_SIZE"
    status, answer = await operator_request(served, "rules", symbol="BTCUSDT", tik="1")
    assert status == 400 and "Did you mean 'tick'" in answer["error"]
    assert (await operator_request(served, "rules", symbol="BTCUSDT", tick="-1"))[0] == 400
    assert (await operator_request(served, "rules", symbol="NO SUCH", tick="1"))[0] == 400


async def test_limits_of_requests_change_while_the_venue_runs(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.exchange.limits, "_wall", lambda: 0)  # one window for all
    assert await served.control.fault("limits", weight=50, orders_10s=2) == {"struck": 1}
    announced = (await served.get("exchangeInfo"))["rateLimits"]
    assert [one["limit"] for one in announced] == [50, 2, 200_000, 300_000]
    params = {"symbol": "BTCUSDT", "side": "BUY", "price": "90", **REST}
    answers = [await served.signed("POST", "order", **params) for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    with pytest.raises(PaperExchangeError, match="Accepted: a whole number from 0 up"):
        await served.control.fault("limits", weight=-1)


async def test_invalid_account_names_are_refused(served: Any) -> None:
    with pytest.raises(PaperExchangeError, match="cannot be the name"):
        await served.exchange.administration.open_account("with blank", {})
    assert (await operator_request(served, "accounts", account="a", balances=["USDT"]))[0] == 400


async def test_accounts_join_and_leave_a_trade_group(served: Any) -> None:
    assert "tradeGroupId" not in (await served.signed("GET", "account"))[1]
    assert await operator_request(served, "group", group=7) == (200, {})
    assert (await served.signed("GET", "account"))[1]["tradeGroupId"] == 7
    assert await operator_request(served, "group", group=-1) == (200, {})
    assert "tradeGroupId" not in (await served.signed("GET", "account"))[1]
    for wrong in ("7", True, -2, None):
        status, answer = await operator_request(served, "group", group=wrong)
        assert status == 400 and "a whole number from 0 up" in answer["error"]


# -- API keys


def public_pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def test_an_operator_registers_the_public_key_of_an_account(served: Any) -> None:
    await operator_request(served, "accounts", account="anna", balances={"USDT": "7"})
    private = Ed25519PrivateKey.generate()
    added = await served.control.register_key(public_pem(private), account="anna")
    query = f"timestamp={time.time_ns() // 1_000_000}"
    signature = quote(base64.b64encode(private.sign(query.encode())).decode(), safe="")
    status, account = await served.call(
        "GET", "account", f"{query}&signature={signature}&omitZeroBalances=true", key=added
    )
    assert status == 400, account
    query += "&omitZeroBalances=true"
    signature = quote(base64.b64encode(private.sign(query.encode())).decode(), safe="")
    status, account = await served.call(
        "GET", "account", f"{query}&signature={signature}", key=added
    )
    assert (status, account["balances"][0]["free"]) == (200, "7.00000000")


@pytest.mark.parametrize("body", [{}, {"public_key": "no key"}, {"public_key": 7}])
async def test_a_public_key_that_cannot_be_read_is_refused(served: Any, body: Any) -> None:
    status, answer = await operator_request(served, "keys", **body)
    assert status == 400 and "public" in answer["error"]


async def test_a_public_key_of_no_account_is_refused(served: Any) -> None:
    pem = public_pem(Ed25519PrivateKey.generate())
    status, answer = await operator_request(served, "keys", account="bob", public_key=pem)
    assert status == 400 and "'bob'" in answer["error"]


async def test_a_registered_public_key_survives_a_restart(market: Any, tmp_path: Path) -> None:
    options = PaperOptions(ledger=tmp_path / "ledger.db", pace=LOCKSTEP)
    pem = public_pem(Ed25519PrivateKey.generate())
    keys = []
    for _ in range(2):
        exchange = PaperExchange(market, options)
        if not keys:
            keys.append(exchange.administration.register_key("main", pem))
        assert exchange.keys.find(keys[0]).account == "main"
        await exchange.close()
