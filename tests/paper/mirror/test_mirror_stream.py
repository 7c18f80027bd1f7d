"""The stream of a mirror: an error in a part of it is an error of the whole."""

from __future__ import annotations

import asyncio

import pytest

from botlib.paper import PaperProcess
from botlib.paper.mirror.requests import PublicRequests
from botlib.paper.mirror.source import MirrorSource
from botlib.paper.mirror.stream import VenueStream


async def test_an_error_after_the_subscription_ends_the_stream_and_does_not_leave_it_deaf() -> None:
    def opened() -> None:
        raise ValueError("no such feed")

    async with await PaperProcess.start(["--speed", "60", "--seed", "7"]) as upstream:
        requests = PublicRequests(MirrorSource(upstream=upstream.url))
        stream = VenueStream(
            requests,
            sink=lambda name, payload: None,
            drained=lambda: None,
            opened=opened,
            lost=lambda reason: None,
        )
        stream.want("btcusdt@kline_1m")
        try:
            with pytest.raises(ValueError, match="no such feed"):
                async with asyncio.timeout(30):
                    await stream.run()
        finally:
            await requests.close()
        assert not stream.connected
