"""`Guard`: what is checked before a request reaches its handler.

A page in the user's browser can send requests to this computer. It cannot choose their ``Host``
(unless a name of its own resolves here), and the browser says where they come from: both are
checked. The body is read here, bounded in size and time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from botlib.core.errors import BotlibError
from botlib.serving.door import ConnectionLimits, Door

logger = logging.getLogger(__name__)

NAMES: Final = frozenset({"127.0.0.1", "localhost"})
"""Host names of the loopback address on which servers listen."""

REPORTED: Final = 20
"""Most failures of handlers that are logged, each place once; the others are counted."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RefusalAnswer = Callable[[web.Request, int, str], web.StreamResponse]
"""Returns the answer to a refused request, from its status and its reason."""


def json_answer(values: Mapping[str, object], status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.json_response(values, status=status)


def _error(request: web.Request, status: int, text: str) -> web.StreamResponse:
    return json_answer({"error": text}, status)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRules:
    """What a server accepts.

    Attributes:
        connections: how many, and for how long.
        max_body: most bytes of a request.
        body_within: seconds within which a body has to arrive after its head.
        any_port: whether ``Host`` may name another port, as behind a forwarded port.
        refuse: makes the answer to a refused request.
    """

    connections: ConnectionLimits
    max_body: int
    body_within: float = 10.0
    any_port: bool = False
    refuse: RefusalAnswer = _error


class Guard:
    """The checks of one server, as a middleware.

    Args:
        port: returns the port it listens on.
    """

    def __init__(self, rules: ServerRules, door: Door, port: Callable[[], int | None]) -> None:
        self._rules = rules
        self._door = door
        self._port = port
        self._reported: set[tuple[str, int]] = set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request by its handler, or refuse it."""
        connection = self._door.find(request.protocol)
        if connection is not None:
            connection.requests += 1
            connection.busy += 1
            connection.upgraded = "Upgrade" in request.headers
        try:
            refused = self._refused(request)
            if refused is None and request.can_read_body:
                refused = await self._without_body(request)
            response = refused or await self._handled(request, handler)
        finally:
            if connection is not None:
                connection.busy -= 1
                connection.upgraded = False
        if not response.prepared:
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        """Return the refusal of a request that no program of this computer sends, or None."""
        port, host = self._port(), request.headers.get("Host", "")
        name, _, given = host.partition(":")
        if name not in NAMES or not (self._rules.any_port or given == str(port)):
            url = f"http://127.0.0.1:{port}"
            return self._rules.refuse(request, 403, f"Unknown Host. Ask for {url}.")
        origin = request.headers.get("Origin")
        if origin is not None and not _is_own(origin, host):
            text = f"Foreign Origin. Accepted: http://{host}, or none."
            return self._rules.refuse(request, 403, text)
        # Browsers send no Origin with a plain GET, but say this.
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return self._rules.refuse(request, 403, "Pages of other sites are not answered.")
        return None

    async def _without_body(self, request: web.Request) -> web.StreamResponse | None:
        """Read the body; return the refusal of a request without it, or None."""
        try:
            async with asyncio.timeout(self._rules.body_within):
                await request.read()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return self._rules.refuse(request, 408, "The body did not arrive in time.")
        except web.HTTPRequestEntityTooLarge:
            text = f"The body is too large. Accepted: {self._rules.max_body} bytes."
            return self._rules.refuse(request, 413, text)
        except (web.RequestPayloadError, ValueError):
            return self._rules.refuse(request, 400, "The body cannot be read.")
        return None

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except BotlibError as error:
            return self._rules.refuse(request, 503, str(error))
        except Exception as error:
            self._report(error)
            return self._rules.refuse(request, 500, "The request could not be answered.")

    def _report(self, error: Exception) -> None:
        """Log a failure of a handler, once for each place and never without a bound."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        self._door.turned_away["failed"] += 1
        if place not in self._reported and len(self._reported) < REPORTED:
            self._reported.add(place)
            where = f"{Path(place[0]).name}:{place[1]}"
            logger.error("a request could not be answered: %s at %s", type(error).__name__, where)


def _is_own(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "ws") and parts.netloc == host
    except ValueError:
        return False
