"""`ControlServer`: health, task status and the kill switch over HTTP, on this computer only.

``GET /health`` answers 200, or 503 with the reasons; ``GET /api/v1/tasks/status`` returns the state
of every task. ``POST /api/v1/kill`` stops entries, also while a cell blocks: it needs the token of
this run in the header ``X-Botlib-Token``, from a file that only its owner can read; the address of
the server stands in a file beside it. A GET changes nothing, and no request allows entries again.
``GET /openapi.json`` describes all of it.

The guard of `botlib.serving` admits connections and refuses web pages. Answers quote the errors of
tasks, so every text in them is masked.
"""

from __future__ import annotations

import errno
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from botlib.control.openapi import openapi_document
from botlib.control.requests import MAX_BODY, TOKEN_HEADER, kill_request
from botlib.core.errors import EngineError
from botlib.core.text.masking import forget, hide, masked
from botlib.serving import LoopbackServer, ServerRules, json_answer
from botlib.serving.door import ConnectionLimits
from botlib.store.atomic_files import draft

logger = logging.getLogger(__name__)

PORTS_TRIED: Final = 50
"""Ports that are tried, from the configured one up."""

CONNECTIONS: Final = ConnectionLimits(most=64, of_others=16)
"""Few connections are kept, so that files and the venue can always be opened."""

JsonObject = Mapping[str, object]


class ControlServer:
    """The HTTP server of health, task status and the kill switch.

    Args:
        health: returns ``{"healthy": bool, "reasons": [...], ...}``.
        tasks: returns the status of all tasks.
        kill: stops entries for a reason, also sells every position if its second argument is
            true, and returns what was done.
        token_file: returns the file for the token, which is written at the start. The address is
            written into a file of the same name that ends in ``.url``.
        port: the port to listen on, 0 for any free one.
        only_port: whether a start fails if the port is in use, because whoever uses it would be
            taken for this server; otherwise the next free one is used.
    """

    def __init__(
        self,
        *,
        health: Callable[[], JsonObject],
        tasks: Callable[[], JsonObject],
        kill: Callable[[str, bool], Awaitable[JsonObject]],
        token_file: Callable[[], Path],
        port: int,
        only_port: bool = False,
    ) -> None:
        self._health = health
        self._tasks = tasks
        self._kill = kill
        self._token_file = token_file
        self._token_path = Path()
        self._token = ""
        self._wanted = port
        self._only_port = only_port
        self._server = LoopbackServer(
            [
                web.get("/health", self._get_health),
                web.get("/api/v1/tasks/status", self._get_tasks),
                web.post("/api/v1/kill", self._post_kill),
                web.get("/openapi.json", self._get_openapi),
            ],
            ServerRules(connections=CONNECTIONS, max_body=MAX_BODY),
        )

    @property
    def port(self) -> int | None:
        """The port in use, None before the start."""
        return self._server.port

    @property
    def url(self) -> str | None:
        """Address of the server, None before the start."""
        return self._server.url

    @property
    def token_file(self) -> Path | None:
        """File with the token of the kill switch, None before the start."""
        return self._token_path if self.port else None

    async def start(self) -> None:
        """Start to listen, and write the token and the address.

        Raises:
            EngineError: the port is in use, or none of the next ones is free.
        """
        # Before the first request can arrive, which an empty token would let through.
        self._token = secrets.token_urlsafe(32)
        hide(self._token)
        for port in self._candidates():
            try:
                await self._server.start(port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            try:
                self._write_files()
            except BaseException:
                await self._server.stop()
                raise
            if port and port != self._wanted:
                logger.warning("port %d is in use, health is at %s", self._wanted, self.url)
            return
        if self._only_port:
            raise EngineError(
                f"Port {self._wanted} of the health page and the kill switch is in use, and "
                "another program may answer there as if it were this bot. Live trading starts on "
                "the configured port only: stop the other program, or set health.port to another "
                "one, or to 0 for any."
            )
        raise EngineError(
            f"No free port from {self._wanted} to {self._wanted + PORTS_TRIED - 1} for the health "
            "page. Set health.port to another one, or to 0 for any."
        )

    async def stop(self) -> None:
        """Stop listening, and delete the token and the address."""
        if self.port is not None:
            await self._server.stop()
            forget(self._token)
            for path in self._files():
                path.unlink(missing_ok=True)

    def _files(self) -> tuple[Path, Path]:
        return self._token_path, self._token_path.with_suffix(".url")

    def _write_files(self) -> None:
        """Write the token of 256 bits and the address to files that only their owner can read."""
        self._token_path = self._token_file()
        for path, text in zip(self._files(), (self._token, self.url), strict=True):
            with draft(path, durable=False) as file:
                file.write(f"{text}\n".encode())

    def _candidates(self) -> range:
        if self._wanted == 0 or self._only_port:
            return range(self._wanted, self._wanted + 1)
        return range(self._wanted, min(self._wanted + PORTS_TRIED, 65_536))

    async def _get_health(self, request: web.Request) -> web.Response:
        health = self._health()
        return self._answer(health, 200 if health["healthy"] else 503)

    async def _get_tasks(self, request: web.Request) -> web.Response:
        return self._answer(self._tasks())

    async def _get_openapi(self, request: web.Request) -> web.Response:
        return json_answer(openapi_document())

    async def _post_kill(self, request: web.Request) -> web.Response:
        given = request.headers.get(TOKEN_HEADER, "")
        # Compared in constant time, so that the duration reveals nothing about the token.
        if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
            name = self._token_path.name
            text = f"The header {TOKEN_HEADER} must hold the token of this run, from {name!r}."
            return self._answer({"error": text}, 401)
        try:
            reason, close = kill_request((await request.read()).decode())
        except ValueError as error:
            return self._answer({"error": str(error)}, 400)
        return self._answer(await self._kill(reason, close))

    def _answer(self, values: JsonObject, status: int = 200) -> web.Response:
        return json_answer(_plain(values), status)


def _plain(value: object) -> Any:
    """Return a value as JSON can express it, with its texts masked; other objects as text."""
    if isinstance(value, Mapping):
        return {masked(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(str(value))
