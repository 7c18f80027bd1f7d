"""Whom a mirror trusts: it signs nothing, knows only keys of its own, and follows no stranger."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from botlib.cli import main
from botlib.config import Settings
from botlib.core.errors import ConfigError, PaperExchangeError
from botlib.paper import PAPER_API_KEY, PaperProcess
from botlib.paper.mirror.source import MirrorSource, mirrored_venues
from botlib.venues.registry import VENUES
from tests.support.mirror_rig import Client, mirror, until
from tests.support.scripted_venue import SYMBOL, scripted_venue

STRANGER = ("A" * 64, "B" * 64)
SIGNED = (
    ("POST", "order", {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "1"}),
    ("POST", "order/test", {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "1"}),
    ("GET", "account", {}),
    ("GET", "openOrders", {}),
    ("GET", "myTrades", {"symbol": SYMBOL}),
    ("DELETE", "openOrders", {"symbol": SYMBOL}),
)


async def test_a_key_that_the_mirror_does_not_know_is_refused_and_goes_nowhere() -> None:
    async with scripted_venue() as venue, mirror(venue.url) as made:
        stranger = Client(made.url, made.session, STRANGER)
        for method, path, params in SIGNED:
            answer = await stranger.signed(method, path, **params)
            assert answer["code"] == -2015, (method, path, answer)
        # A known key with a foreign secret.
        forger = Client(made.url, made.session, (PAPER_API_KEY, STRANGER[1]))
        for method, path, params in SIGNED:
            assert (await forger.signed(method, path, **params))["code"] == -1022
        assert not [one for one in venue.requests if "order" in one.lower() or "account" in one]


async def test_no_signature_and_no_key_reaches_the_venue() -> None:
    async with scripted_venue() as venue, mirror(venue.url) as made:
        for path in ("depth", "aggTrades", "ticker/24hr", "avgPrice", "trades"):
            # Clients may sign what needs no signature.
            await made.signed("GET", path, symbol=SYMBOL)
        await made.signed("GET", "klines", symbol=SYMBOL, interval="1m", limit=5)
        await made.order("BUY", "MARKET", quantity="1")
        await until(lambda: len(venue.streams) == 3)
        for path in ("ticker/24hr", "trades", "klines"):
            assert any(one.startswith(f"{path}?symbol=") for one in venue.requests), path
        sent = " ".join(venue.requests)
        for word in ("signature", "timestamp", "recvWindow", "apiKey", PAPER_API_KEY):
            assert word not in sent
        assert venue.keys == set()


async def test_a_stand_in_leads_nowhere_else() -> None:
    async with scripted_venue() as elsewhere, scripted_venue() as venue:

        def away(request: web.Request) -> web.Response:
            raise web.HTTPFound(f"{elsewhere.url}{request.path_qs}")

        venue.answers["time"] = away
        with pytest.raises(PaperExchangeError, match=r"answered time with .*HTTP 302"):
            await PaperProcess.start(["--mirror", "binance", "--upstream", venue.url])
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "url",
    (
        "http://192.0.2.1:9000",
        "https://api.binance.com",
        "http://127.0.0.1.example.com:80",
        "http://127.0.0.1@example.com:80",
        "http://0.0.0.0:80",
    ),
)
def test_only_this_computer_stands_in_for_the_venue(url: str, tmp_path: Path) -> None:
    with pytest.raises(PaperExchangeError, match="this computer only"):
        MirrorSource(upstream=url)
    with pytest.raises(ConfigError, match="this computer only"):
        Settings.from_dict({"paper": {"market": "mirror", "mirror": {"upstream": url}}})
    ledger = tmp_path / "ledger"
    words = ["paper", "--mirror", "binance", "--upstream", url, "--ledger", str(ledger)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and "on this computer" in result.output
    assert not ledger.exists()


def test_the_addresses_of_the_venue_are_those_of_its_record() -> None:
    assert mirrored_venues() == ["binance"]
    record, source = VENUES["binance"].capabilities, MirrorSource()
    assert source.rest == record.public_rest
    assert source.streams == f"{record.public_streams}/stream"
    # They are named nowhere else.
    package = Path(__file__).parents[3] / "botlib"
    hosts = [record.public_rest.partition("//")[2], record.public_streams.partition("//")[2]]
    named = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(host in path.read_text() for host in hosts)
    }
    assert named == {"venues/binance/capabilities.py"}
