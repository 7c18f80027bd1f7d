"""Idle connections: they are closed if no complete request arrives within a time.

A client that connects and sends no request, or only the beginning of one, would otherwise keep its
connection for ever: the server waits for a first request without a limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web

SILENCE: Final = 20.0
"""Seconds within which a complete request must arrive on a new connection."""


class IdleConnections:
    """The connections on which no request has arrived."""

    def __init__(self) -> None:
        self._idle_since: dict[web.RequestHandler, float] = {}
        self._active: set[web.RequestHandler] = set()

    async def request_received(
        self, request: web.BaseRequest, response: web.StreamResponse
    ) -> None:
        """Store that a request has arrived on its connection; called before every answer."""
        self._active.add(request.protocol)

    def close_idle(self, handlers: Iterable[web.RequestHandler], now: float) -> None:
        """Close the connections that have been idle for `SILENCE` seconds.

        Args:
            handlers: handlers of all open connections.
            now: seconds of a monotonic clock.
        """
        open_handlers = dict.fromkeys(handlers)
        self._active.intersection_update(open_handlers)
        idle = [one for one in open_handlers if one not in self._active]
        self._idle_since = {one: self._idle_since.get(one, now) for one in idle}
        for handler, since in self._idle_since.items():
            if now - since >= SILENCE:
                handler.force_close()
