"""A mirror in a process of its own, and a client that trades on it."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from botlib.paper import (
    PAPER_API_KEY,
    PAPER_API_SECRET,
    MirrorState,
    PaperControl,
    PaperProcess,
)
from tests.support.scripted_venue import until


class Client:
    """A client of an exchange.

    Args:
        url: address of the exchange.
        session: the session of its requests.
        keys: API key and secret.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        keys: tuple[str, str] = (PAPER_API_KEY, PAPER_API_SECRET),
    ) -> None:
        self.url = url
        self.session = session
        self.keys = keys

    async def get(self, path: str, **params: object) -> Any:
        """Return the answer to a public request."""
        target = f"{self.url}/api/v3/{path}?{urlencode(params)}"
        async with self.session.get(target) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def signed(self, method: str, path: str, **params: object) -> Any:
        """Return the answer to a signed request, an error of the venue included."""
        query = urlencode({**params, "timestamp": time.time_ns() // 1_000_000})
        sign = hmac.new(self.keys[1].encode(), query.encode(), hashlib.sha256).hexdigest()
        target = f"{self.url}/api/v3/{path}?{query}&signature={sign}"
        async with self.session.request(
            method, target, headers={"X-MBX-APIKEY": self.keys[0]}
        ) as answer:
            return await answer.json()

    async def order(self, side: str, kind: str, **params: object) -> Any:
        """Return the answer to a new order of BTCUSDT."""
        return await self.signed("POST", "order", symbol="BTCUSDT", side=side, type=kind, **params)

    async def found(self, order: Any) -> Any:
        """Return the present state of an order."""
        return await self.signed("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])

    async def free(self, asset: str) -> float:
        """Return the free balance of an asset."""
        account = await self.signed("GET", "account")
        return sum(float(one["free"]) for one in account["balances"] if one["asset"] == asset)


class Mirror(Client):
    """A running mirror and its client."""

    def __init__(self, process: PaperProcess, session: aiohttp.ClientSession) -> None:
        super().__init__(process.url, session)
        self.process = process
        self.control: PaperControl = process.control()

    async def state(self) -> MirrorState:
        """Return the state of the mirror."""
        found = await self.control.mirror()
        assert found is not None
        return found

    async def stale(self) -> bool:
        """Return whether it is stale."""
        return (await self.state()).stale

    async def awake(self) -> bool:
        """Return whether it is not stale."""
        return not await self.stale()


@asynccontextmanager
async def mirror(
    upstream: str, *words: str, symbols: str = "BTC/USDT", log: Path | None = None
) -> AsyncIterator[Mirror]:
    """Run a mirror of a venue on this computer.

    Args:
        upstream: address of the venue.
        words: further words of ``botlib paper``.
        symbols: symbols that are followed.
        log: file of its log.
    """
    arguments = ["--mirror", "binance", "--upstream", upstream, "--symbols", symbols, *words]
    async with (
        await PaperProcess.start(arguments, log=log) as process,
        aiohttp.ClientSession() as session,
    ):
        made = Mirror(process, session)
        try:
            yield made
        finally:
            await made.control.close()


__all__ = ["Client", "Mirror", "mirror", "until"]
