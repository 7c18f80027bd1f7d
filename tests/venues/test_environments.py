"""The addresses of each of a venue's systems: none of them reaches another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from botlib.core.errors import ExchangeError
from botlib.venues.binance.api import make_api
from botlib.venues.registry import VENUES, venue_in

REAL = {"api.binance.com", "stream.binance.com", "ws-api.binance.com"}


def hosts(urls: Any) -> Iterator[str]:
    if isinstance(urls, dict):
        for inner in urls.values():
            yield from hosts(inner)
    else:
        yield urlsplit(str(urls)).hostname or ""


HOSTS = {
    "live": REAL,
    "testnet": {
        "testnet.binance.vision",
        "stream.testnet.binance.vision",
        "ws-api.testnet.binance.vision",
    },
    "demo": {"demo-api.binance.com", "demo-stream.binance.com", "demo-ws-api.binance.com"},
}


@pytest.mark.parametrize("environment", list(HOSTS))
async def test_each_environment_reaches_its_own_hosts_only(environment: str) -> None:
    api = make_api(rest_url=None, ws_url=None, key=None, secret=None, environment=environment)
    try:
        assert set(hosts(api.urls["api"])) - {""} == HOSTS[environment]
        for other in HOSTS.keys() - {environment}:
            for host in HOSTS[other]:
                with pytest.raises(ExchangeError, match=f"Refused to reach '{host}'"):
                    await api.fetch(f"https://{host}/api/v3/ping")
    finally:
        await api.close()


def test_environments_share_neither_keys_nor_databases() -> None:
    records = [VENUES[venue_in(name)].capabilities for name in ("live", "testnet", "demo")]
    assert [record.environment for record in records] == ["live", "testnet", "demo"]
    assert [record.play_money for record in records] == [False, True, True]
    for field in ("name", "database", "key_variable", "secret_variable", "title"):
        assert len({getattr(record, field) for record in records}) == 3
