"""What stands between this computer and a venue: a sentence for each, and nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

import botlib as bl
from botlib.cli import main
from botlib.core import retry
from botlib.core.errors import ExchangeError, ExchangeUnavailable, UnknownSymbol
from botlib.lab import stored
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperProcess
from botlib.store import database_path
from botlib.venues.binance import api, venue
from botlib.venues.binance.venue import BinanceExchange
from botlib.venues.obstacles import connection_advice, page_title, wrong_clock
from botlib.venues.registry import build_exchange
from tests.support.obstacles import OBSTACLES, PORTAL, Answer, serving, stalled, state


@pytest.fixture
def served() -> Iterator[Callable[[Answer], str]]:
    """Return a function that serves an answer to every request, and returns the address."""
    with serving() as serve:
        yield serve


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "READ_TIMEOUT", 500)
    monkeypatch.setattr(
        retry.retry, "__kwdefaults__", {**retry.retry.__kwdefaults__, "delay": 0.01}
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    return tmp_path / "data"


@pytest.fixture
def stands_for_binance(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that has downloads reach an address in place of the venue."""

    def use(url: str) -> None:
        monkeypatch.setattr(stored, "build_exchange", partial(build_exchange, rest_url=url))

    return use


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("name", OBSTACLES)
async def test_a_connection_says_what_stands_in_between(
    served: Callable[[Answer], str], name: str
) -> None:
    answer, said = OBSTACLES[name]
    exchange = BinanceExchange(venue="binance", rest_url=await asyncio.to_thread(served, answer))
    try:
        with pytest.raises(ExchangeError, match=f"(?s){said}"):
            await exchange.connect()
    finally:
        await exchange.close()


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_download_in_a_lab_says_so_too_and_leaves_nothing_behind(
    served: Callable[[Answer], str],
    home: Path,
    stands_for_binance: Callable[[str], None],
    name: str,
) -> None:
    answer, said = OBSTACLES[name]
    stands_for_binance(served(answer))
    lab = bl.research()
    before = threads()
    with pytest.raises(ExchangeError, match=f"(?s){said}"):
        lab.download("BTC/USDT", "1h", since="3d")
    assert not database_path(home, "binance").exists()
    until = time.monotonic() + 60
    # A pool of threads of the loop may stay; whatever else was started is gone.
    while extra := {one for one in threads() - before if "asyncio" not in one}:
        assert time.monotonic() < until, extra
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["a captive portal", "a blocked country", "a stall"])
def test_the_command_says_it_in_one_line_and_exits(
    served: Callable[[Answer], str],
    home: Path,
    stands_for_binance: Callable[[str], None],
    name: str,
) -> None:
    answer, _ = OBSTACLES[name]
    stands_for_binance(served(answer))
    words = ["download", "BTC/USDT", "1h", "--since", "3d", "--data", str(home)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output and "Error: " in result.output
    assert not database_path(home, "binance").exists()


async def test_a_venue_that_stalls_is_given_up_within_a_limit(
    served: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five attempts of ten seconds each would take a minute."""
    monkeypatch.setattr(api, "READ_TIMEOUT", 10_000)
    monkeypatch.setattr(venue, "CONNECT_WITHIN", 1.0)
    exchange = BinanceExchange(venue="binance", rest_url=await asyncio.to_thread(served, stalled))
    began = time.monotonic()
    try:
        with pytest.raises(
            ExchangeUnavailable,
            match=r"Binance cannot be connected to.*no answer came within 1 s: the venue or the",
        ):
            await exchange.connect()
    finally:
        await exchange.close()
    assert time.monotonic() - began < 30


async def test_a_pause_that_the_venue_asks_for_is_no_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "READ_TIMEOUT", 60_000)
    monkeypatch.setattr(venue, "CONNECT_WITHIN", 4.0)
    process = await PaperProcess.start(["--seed", "3", "--lockstep", "--symbols", "BTC/USDT"])
    exchange = BinanceExchange(venue=process.venue, rest_url=process.url)
    try:
        async with process.control() as control:
            await control.fault("http_status", match="time", status=429, retry_after=5, count=1)
        await exchange.connect()
        assert exchange.market("BTC/USDT").active
    finally:
        await exchange.close()
        await process.stop()


async def test_nothing_listens(unused: int = 9) -> None:
    exchange = BinanceExchange(venue="binance", rest_url=f"http://127.0.0.1:{unused}")
    with pytest.raises(
        ExchangeError, match=r"Cannot connect to host 127\.0\.0\.1:9.*Check the net"
    ):
        await exchange.connect()
    await exchange.close()


async def test_a_stream_that_a_proxy_refuses_says_so() -> None:
    process = await PaperProcess.start(["--seed", "3", "--lockstep"])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", state(451))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    exchange = BinanceExchange(
        venue="binance",
        rest_url=process.url,
        ws_url=f"ws://127.0.0.1:{runner.addresses[0][1]}",
    )
    try:
        await exchange.connect()
        with pytest.raises(ExchangeError, match=r"stream was refused \(HTTP 451\).*the country"):
            await exchange.open_klines(lambda text, reason: None)
    finally:
        await exchange.close()
        await runner.cleanup()
        await process.stop()


async def test_a_clock_that_is_minutes_wrong_is_said_and_the_venues_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    late = api.SpotBinance.milliseconds
    monkeypatch.setattr(api.SpotBinance, "milliseconds", lambda self: late(self) - 300_000)
    process = await PaperProcess.start(["--seed", "3", "--lockstep"])
    exchange = BinanceExchange(
        venue=process.venue, rest_url=process.url, keys=(PAPER_API_KEY, PAPER_API_SECRET)
    )
    try:
        await exchange.connect()
    finally:
        await exchange.close()
        await process.stop()
    assert (
        "clock is 5.0 minutes behind the venue's; requests use the venue's. Set it" in caplog.text
    )


async def test_a_symbol_that_was_delisted_can_still_be_researched() -> None:
    process = await PaperProcess.start(["--seed", "3", "--lockstep", "--symbols", "BTC/USDT"])
    exchange = BinanceExchange(venue="binance", rest_url=process.url)
    try:
        await exchange.connect()
        with pytest.raises(UnknownSymbol, match=r"does not list 'OLD/EUR'.*bl\.research\(\) reads"):
            exchange.market("OLD/EUR")
    finally:
        await exchange.close()
        await process.stop()


def test_errors_of_a_connection_without_a_network() -> None:
    key: Any = aiohttp.client_reqrep.ConnectionKey(
        "api.binance.com", 443, True, True, None, None, 0
    )
    said = partial(connection_advice, patience=10)
    unresolved = aiohttp.ClientConnectorDNSError(key, OSError(socket.EAI_AGAIN, "no name"))
    assert "api.binance.com cannot be resolved" in said(unresolved)
    assert "bl.connect()" in said(unresolved)
    unrouted = aiohttp.ClientConnectorError(key, OSError(errno.ENETUNREACH, "unreachable"))
    assert "There is no network" in said(unrouted)
    untrusted = aiohttp.ClientConnectorCertificateError(key, ssl.SSLCertVerificationError("self"))
    assert "certificate of api.binance.com is not trusted" in said(untrusted)
    assert "sign in" in said(untrusted)


def test_a_page_is_shown_by_its_title_or_its_text() -> None:
    assert page_title(PORTAL) == "Hotel & Wi-Fi"
    assert (
        page_title("<html><script>x()</script><p>Please  sign\nin</p></html>") == "Please sign in"
    )
    assert (
        wrong_clock(1_500)
        == "The computer's clock is 1.5 s ahead of the venue's; requests use the venue's."
    )
