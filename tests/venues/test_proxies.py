"""The proxy that the environment names: real hosts are reached through it, this computer never."""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from botlib.config.secrets import ApiKeys
from botlib.core.errors import ExchangeError, ExchangeUnavailable, OrderRejected
from botlib.core.model import OrderIntent, OrderType, Side
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperProcess
from botlib.venues.binance.first_contact import compare
from botlib.venues.binance.venue import BinanceExchange
from botlib.venues.obstacles import OFFLINE
from botlib.venues.proxies import proxy_for
from botlib.venues.registry import build_exchange, capabilities
from tests.support.little_proxy import LittleProxy, little_proxy

LIMIT = 90.0
HOSTS = {
    "live": ("api.binance.com", "stream.binance.com", "ws-api.binance.com"),
    "testnet": ("testnet.binance.vision", "stream.testnet.binance.vision"),
}
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PASSWORD = "pass-of-the-proxy"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy on this computer stands between these tests and the real hosts.
    monkeypatch.delenv(OFFLINE)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names that are resolved, which would leave this computer."""
    names: set[str] = set()
    resolve = BaseEventLoop.getaddrinfo

    async def resolving(self: Any, host: Any, *args: Any, **options: Any) -> Any:
        names.add(str(host))
        return await resolve(self, host, *args, **options)

    monkeypatch.setattr(BaseEventLoop, "getaddrinfo", resolving)
    return names


@pytest.fixture
async def paper() -> AsyncIterator[PaperProcess]:
    options = ["--seed", "3", "--start", "now", "--symbols", "BTC/USDT"]
    async with await PaperProcess.start(options) as found:
        yield found


@pytest.fixture
async def proxy(
    paper: PaperProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LittleProxy]:
    hosts = tuple(host for names in HOSTS.values() for host in names)
    async with little_proxy(paper.url, tmp_path, hosts) as found:
        monkeypatch.setenv("SSL_CERT_FILE", str(found.certificate))
        yield found


def keys(monkeypatch: pytest.MonkeyPatch, venue: str, key: str, secret: str) -> ApiKeys:
    record = capabilities(venue)
    monkeypatch.setenv(record.key_variable, key)
    monkeypatch.setenv(record.secret_variable, secret)
    return ApiKeys.from_environment(venue=venue)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_requests_and_streams_of_the_real_venue_go_through_the_proxy(
    proxy: LittleProxy,
    resolved: set[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv(variable, proxy.with_password())
    exchange = BinanceExchange(
        venue="binance", keys=keys(monkeypatch, "binance", PAPER_API_KEY, PAPER_API_SECRET)
    )
    framed, subscribed = asyncio.Event(), asyncio.Event()
    try:
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group:
            await exchange.connect()
            assert (await exchange.permissions()).trade
            reports = exchange.watch_executions(lambda _: None, on_connect=subscribed.set)
            watching = group.create_task(reports)
            klines = await exchange.open_klines(lambda text, reason: None)
            await klines.subscribe({("BTC/USDT", "1m"): lambda *_: framed.set()})
            await framed.wait()
            await subscribed.wait()
            watching.cancel()
    finally:
        await exchange.close()
    assert {target.partition(":")[0] for target in proxy.targets} == set(HOSTS["live"])
    assert len(proxy.authorizations) == len(proxy.targets)
    assert resolved <= {"127.0.0.1"}
    assert PASSWORD not in caplog.text


async def test_the_first_contact_goes_through_the_proxy(
    proxy: LittleProxy, resolved: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    found = await compare()
    assert found.differences == [] and "streams" in found.compared
    assert {target.partition(":")[0] for target in proxy.targets} == set(HOSTS["live"][:2])
    assert resolved <= {"127.0.0.1"}


async def test_a_paper_exchange_on_this_computer_is_never_reached_through_it(
    paper: PaperProcess, proxy: LittleProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES[:3]:
        monkeypatch.setenv(name, proxy.url)
    pair = (PAPER_API_KEY, PAPER_API_SECRET)
    exchange = BinanceExchange(venue=paper.venue, rest_url=paper.url, keys=pair)
    try:
        async with asyncio.timeout(LIMIT):
            await exchange.connect()
            assert await exchange.balances()
            await (await exchange.open_klines(lambda text, reason: None)).close()
    finally:
        await exchange.close()
    assert proxy.targets == []


def test_the_environment_decides_by_host(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rest, stream = "https://api.binance.com/api/v3", "wss://stream.binance.com:9443/ws"
    assert proxy_for(rest) is None
    monkeypatch.setenv("HTTP_PROXY", "http://of-plain-http:1")
    assert proxy_for(rest) is None
    monkeypatch.setenv("ALL_PROXY", "socks5://hidden:secret@127.0.0.1:1080")
    assert proxy_for(rest) is None
    assert "a proxy that speaks socks5" in caplog.text and "secret" not in caplog.text
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_for(rest) == proxy_for(stream) == "http://proxy.example:3128"
    for near in ("https://127.0.0.1:9", "https://localhost:9", "https://[::1]:9"):
        assert proxy_for(near) is None
    monkeypatch.setenv("NO_PROXY", "stream.binance.com")
    assert proxy_for(stream) is None and proxy_for(rest) is not None
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for(rest) is None


async def test_a_proxy_that_refuses_or_is_not_there_is_said_without_its_password(
    proxy: LittleProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.with_password())
    proxy.refuses = 407
    for port, said in (
        (proxy.port, r"The proxy refused the connection to the venue \(HTTP 407\).*sign-in"),
        (9, r"The proxy 127\.0\.0\.1:9 cannot be reached.*HTTPS_PROXY.*NO_PROXY"),
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:{PASSWORD}@127.0.0.1:{port}")
        exchange = BinanceExchange(venue="binance")
        try:
            with pytest.raises(ExchangeUnavailable, match=said) as caught:
                await exchange.connect()
        finally:
            await exchange.close()
        assert PASSWORD not in str(caught.value) and caught.value.__cause__ is None


async def test_an_order_that_a_proxy_refuses_was_not_sent(
    proxy: LittleProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    exchange = BinanceExchange(
        venue="binance", keys=keys(monkeypatch, "binance", PAPER_API_KEY, PAPER_API_SECRET)
    )
    try:
        await exchange.connect()
        exchange.arm()
        await exchange._api.session.close()  # the connections that stand
        exchange._api.session = None
        proxy.refuses = 503
        with pytest.raises(OrderRejected, match=r"Not sent.*HTTP 503"):
            await exchange.place_order(
                OrderIntent(
                    client_order_id="proxied-1",
                    strategy="test",
                    symbol="BTC/USDT",
                    side=Side.BUY,
                    type=OrderType.MARKET,
                    amount=exchange.market("BTC/USDT").step * 100,
                )
            )
    finally:
        await exchange.close()


@pytest.mark.parametrize(
    ("environment", "own", "others"),
    [
        ("live", "BINANCE_API_KEY", r"BINANCE_TESTNET_API_KEY for testnet"),
        ("testnet", "BINANCE_TESTNET_API_KEY", r"BINANCE_API_KEY for live"),
    ],
)
async def test_a_key_of_another_environment_is_said_with_its_variables(
    proxy: LittleProxy,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    own: str,
    others: str,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    venue = "binance" if environment == "live" else f"binance-{environment}"
    for key, secret, said in (
        ("K" * 64, "S" * 64, rf"code -2015.*environment '{environment}'.*in {own}: .*{others}"),
        (PAPER_API_KEY, "S" * 64, rf"code -1022.*not the one of the key in {own}"),
    ):
        exchange = build_exchange(venue, keys=keys(monkeypatch, venue, key, secret))
        try:
            await exchange.connect()
            with pytest.raises(ExchangeError, match=said) as refused:
                await exchange.balances()
        finally:
            await exchange.close()
        assert key not in str(refused.value) and secret not in str(refused.value)
