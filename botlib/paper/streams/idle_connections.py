"""Connections on which nobody says anything: they are closed after a while.

A client that connects and sends no request, or only the beginning of one, would hold its place for
ever: a server waits for a first request without end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web

SILENCE: Final = 20.0
"""Seconds within which a new connection has to bring a whole request."""


class IdleConnections:
    """Knows which connections have brought a request."""

    def __init__(self) -> None:
        self._met: dict[web.RequestHandler, float] = {}
        self._heard: set[web.RequestHandler] = set()

    async def request_received(
        self, request: web.BaseRequest, response: web.StreamResponse
    ) -> None:
        """Note that a connection has brought a request; called before every answer."""
        self._heard.add(request.protocol)

    def close_silent(self, handlers: Iterable[web.RequestHandler], now: float) -> None:
        """Close the connections that were there before and are still silent.

        Args:
            handlers: of all connections there are.
            now: seconds, by a clock that only goes forward.
        """
        there = dict.fromkeys(handlers)
        self._heard.intersection_update(there)
        silent = [one for one in there if one not in self._heard]
        self._met = {one: self._met.get(one, now) for one in silent}
        for handler, since in self._met.items():
            if now - since >= SILENCE:
                handler.force_close()
