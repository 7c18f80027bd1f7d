"""A mirror of the real addresses, behind the proxy that the environment names."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from botlib.core.errors import PaperExchangeError
from botlib.paper import PaperProcess
from botlib.venues.obstacles import OFFLINE
from botlib.venues.registry import capabilities
from tests.support.little_proxy import little_proxy
from tests.support.mirror_rig import Client, Mirror, until

RECORD = capabilities("binance")
HOSTS = tuple(one.partition("//")[2] for one in (RECORD.public_rest, RECORD.public_streams))
WORDS = ["--mirror", "binance", "--symbols", "BTC/USDT"]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let a mirror ask for the real hosts, which the proxy leads to this computer."""
    monkeypatch.setenv(OFFLINE, "0")
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def test_requests_and_streams_of_the_real_venue_go_through_the_proxy(
    outside: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with (
        await PaperProcess.start(["--speed", "60", "--seed", "7"]) as venue,
        little_proxy(venue.url, tmp_path, HOSTS) as proxy,
    ):
        outside.setenv("HTTPS_PROXY", proxy.with_password())
        outside.setenv("SSL_CERT_FILE", str(proxy.certificate))
        log = tmp_path / "log"
        async with (
            await PaperProcess.start(WORDS, log=log) as process,
            aiohttp.ClientSession() as session,
        ):
            assert process.venue == "paper:mirror:binance"
            made = Mirror(process, session)
            try:
                await until(made.awake)
                asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": 1_735_689_600_000}
                real = Client(venue.url, session)
                assert await made.get("klines", **asked) == await real.get("klines", **asked)
                assert (await made.order("BUY", "MARKET", quantity="0.01"))["status"] == "FILLED"
            finally:
                await made.control.close()
        assert {target.partition(":")[0] for target in proxy.targets} == set(HOSTS)
        assert all(one.startswith("Basic ") for one in proxy.authorizations)
        # Nobody reads the password of the proxy.
        assert "pass-of-the-proxy" not in log.read_text()


@pytest.mark.parametrize(("status", "said"), [(407, "wants a sign-in"), (403, "firewall")])
async def test_a_proxy_that_refuses_the_venue_is_a_sentence(
    outside: pytest.MonkeyPatch, tmp_path: Path, status: int, said: str
) -> None:
    async with little_proxy("http://127.0.0.1:9", tmp_path, HOSTS) as proxy:
        proxy.refuses = status
        outside.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(PaperExchangeError, match=said) as caught:
            await PaperProcess.start(WORDS)
        assert len(str(caught.value).splitlines()) == 1
