"""The addresses of each of a venue's systems: play money never reaches the real venue."""

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


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            "testnet",
            {
                "testnet.binance.vision",
                "stream.testnet.binance.vision",
                "ws-api.testnet.binance.vision",
            },
        ),
        ("demo", {"demo-api.binance.com", "demo-stream.binance.com", "demo-ws-api.binance.com"}),
    ],
)
async def test_play_money_reaches_its_own_hosts_only(environment: str, expected: set[str]) -> None:
    api = make_api(rest_url=None, ws_url=None, key=None, secret=None, environment=environment)
    try:
        found = set(hosts(api.urls["api"])) - {""}
        assert found == expected and not found & REAL
        with pytest.raises(ExchangeError, match=r"'api\.binance\.com'.*play money"):
            await api.fetch("https://api.binance.com/api/v3/ping")
    finally:
        await api.close()


async def test_the_real_venue_is_reached_at_its_own_hosts() -> None:
    api = make_api(rest_url=None, ws_url=None, key=None, secret=None)
    try:
        assert set(hosts(api.urls["api"])) >= REAL
    finally:
        await api.close()


def test_environments_share_neither_keys_nor_databases() -> None:
    records = [VENUES[venue_in(name)].capabilities for name in ("live", "testnet", "demo")]
    assert [record.environment for record in records] == ["live", "testnet", "demo"]
    assert [record.play_money for record in records] == [False, True, True]
    for field in ("name", "database", "key_variable", "secret_variable", "title"):
        assert len({getattr(record, field) for record in records}) == 3
