"""`LoopbackServer`: an HTTP and WebSocket server on the loopback address, behind its guard."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from botlib.serving.door import Door
from botlib.serving.guard import Guard, ServerRules

HOST: Final = "127.0.0.1"

SHUTDOWN: Final = 1.0
"""Seconds for which a stop waits for requests that are being answered."""

# aiohttp logs requests that it cannot parse with their text, and so lets any client write the log.
_silent: Final = logging.Logger("botlib.serving.protocol")
_silent.addHandler(logging.NullHandler())


class LoopbackServer:
    """A server on the loopback address: `start`, `stop_listening`, `stop`.

    Args:
        routes: what it answers.
        rules: what it accepts.
    """

    def __init__(self, routes: Iterable[web.AbstractRouteDef], rules: ServerRules) -> None:
        self._routes = list(routes)
        self._rules = rules
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.AbstractServer | None = None
        self.door = Door(rules.connections)
        self.port: int | None = None
        """The port in use, None before the start."""

    @property
    def url(self) -> str | None:
        """Address of the server, None before the start."""
        return f"http://{HOST}:{self.port}" if self.port else None

    async def start(self, port: int) -> None:
        """Start to listen.

        Args:
            port: 0 for any free one.

        Raises:
            OSError: the port is in use.
        """
        guard = Guard(self._rules, self.door, lambda: self.port)
        app = web.Application(middlewares=[guard.middleware], client_max_size=self._rules.max_body)
        app.add_routes(self._routes)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_silent,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN,
            keepalive_timeout=self._rules.connections.next_request,
        )
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                lambda: self.door.entrance(server), HOST, port
            )
        except OSError:
            await self.stop()
            raise
        self.port = int(self._listening.sockets[0].getsockname()[1])

    async def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        await self.stop_listening()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.door.close()
        self.port = None
