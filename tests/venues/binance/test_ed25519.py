"""Requests signed with an Ed25519 key, which comes from the environment as a PEM text."""

from __future__ import annotations

from pathlib import Path

import pytest

from botlib.config.secrets import ApiKeys
from botlib.paper import PaperProcess
from botlib.paper.accounts.keys import PAPER_ED25519_API_KEY, paper_private_key
from botlib.venues.binance.socket import UserSocket
from botlib.venues.binance.venue import BinanceExchange


async def test_requests_and_the_account_stream_are_signed_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BINANCE_API_KEY", PAPER_ED25519_API_KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", paper_private_key())
    async with await PaperProcess.start(["--seed", "7"], log=tmp_path / "log") as process:
        keys = ApiKeys.from_environment()
        exchange = BinanceExchange(venue="binance", rest_url=process.url, keys=keys)
        await exchange.connect()
        assert (await exchange.permissions()).trade
        socket = UserSocket(exchange._api, lambda event: None, lambda text, reason: None)
        await socket.open()
        await socket.subscribe()
        await socket.close()
        await exchange.close()
