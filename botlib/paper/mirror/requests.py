"""Requests to the public data of the mirrored venue, within its limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson

from botlib.core.clock import SystemClock
from botlib.core.errors import PaperExchangeError
from botlib.paper.mirror.source import MirrorSource
from botlib.paper.protocol.refusals import Refusal
from botlib.venues.obstacles import (
    CLOCK_WRONG,
    connection_advice,
    foreign_answer,
    offline_advice,
    page_title,
    state_advice,
    wrong_clock,
)
from botlib.venues.proxies import proxy_for

logger = logging.getLogger(__name__)

TIMEOUT: Final = 15.0
"""Seconds within which an answer must come."""
AT_ONCE: Final = 6
"""Most requests at the same time."""
LEFT_TO_OTHERS: Final = 4_500
"""Weight a minute from which on requests wait: other programs of this address need some too."""
UNREADABLE: Final = (ArithmeticError, LookupError, TypeError, ValueError)
"""Errors of reading what is not as the venue documents it."""
_MINUTE: Final = 60.0


class UpstreamLost(PaperExchangeError):
    """The mirrored venue gave no answer."""


class PublicRequests:
    """Requests for public data, none of them signed; equal ones under way are sent once.

    Args:
        source: the mirrored venue.

    Attributes:
        sent: requests so far.
        used: request weight of the present minute, as the venue counts it.
        offset: ms by which the venue's clock is ahead of the computer's.
    """

    def __init__(self, source: MirrorSource) -> None:
        self.source = source
        self.sent = 0
        self.used = 0
        self.offset = 0
        self._clock = SystemClock()
        self._held_until = 0.0
        self._room = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[str, asyncio.Task[bytes]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str | None] = {}

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, which the stream uses too."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    def proxy(self, url: str) -> str | None:
        """Return the proxy of the environment for an address; a stand-in needs none."""
        if url not in self._proxies:
            self._proxies[url] = proxy_for(url) if self.source.upstream is None else None
        return self._proxies[url]

    async def close(self) -> None:
        """Cancel what is under way, and close the connections."""
        for task in tuple(self._under_way.values()):
            task.cancel()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read_clock(self) -> None:
        """Measure the offset of the venue's clock.

        Raises:
            UpstreamLost: there was no answer.
        """
        sent = self._clock.now()
        answer = await self.json("time")
        try:
            server = int(answer["serverTime"])
        except UNREADABLE:
            raise UpstreamLost(foreign_answer(str(answer))) from None
        offset = server - (sent + self._clock.now()) // 2
        if abs(offset - self.offset) >= CLOCK_WRONG:
            logger.warning("%s", wrong_clock(-offset))
        self.offset = offset

    async def json(self, path: str, **params: object) -> Any:
        """Return the answer to a request as Python values.

        Raises:
            Refusal: the venue refuses it.
            UpstreamLost: there was no answer.
        """
        answer = await self.get(path, {name: str(one) for name, one in params.items()})
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise UpstreamLost(
                f"{self.source.venue} answered {path} with broken JSON: {answer[:80]!r}…"
            ) from None

    async def get(self, path: str, params: Mapping[str, str]) -> bytes:
        """Return the answer to a request as JSON.

        Args:
            path: below ``/api/v3/``.
            params: its parameters.

        Raises:
            Refusal: the venue refuses it, or its limit is used up.
            UpstreamLost: there was no answer.
        """
        key = f"{path}?{orjson.dumps(dict(params), option=orjson.OPT_SORT_KEYS).decode()}"
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._send(path, params))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    def _done(self, key: str, task: asyncio.Task[bytes]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _send(self, path: str, params: Mapping[str, str]) -> bytes:
        if self.source.upstream is None and (advice := offline_advice()):
            raise UpstreamLost(f"{self.source.venue} is not asked. {advice}")
        async with self._room:
            self._check_limit()
            self.sent += 1
            try:
                async with (
                    asyncio.timeout(TIMEOUT),
                    self.session.get(
                        f"{self.source.rest}/api/v3/{path}",
                        params=params,
                        proxy=self.proxy(self.source.rest),
                        # No answer may lead from a stand-in on this computer to another one.
                        allow_redirects=False,
                    ) as answer,
                ):
                    body = await answer.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise UpstreamLost(
                    f"{self.source.venue} did not answer {path}: "
                    f"{connection_advice(error, TIMEOUT)}"
                ) from None
        self._note_limit(answer)
        if answer.status != 200:
            raise self._refused(path, answer.status, body)
        if not body.startswith((b"{", b"[")):
            raise UpstreamLost(foreign_answer(body.decode(errors="replace")))
        return body

    def _check_limit(self) -> None:
        wait = self._held_until - asyncio.get_running_loop().time()
        if wait > 0:
            raise Refusal(
                -1003,
                "Too many requests; the mirrored venue has to be left alone.",
                429,
                {"Retry-After": str(int(wait) + 1)},
            )

    def _note_limit(self, answer: aiohttp.ClientResponse) -> None:
        used = answer.headers.get("X-MBX-USED-WEIGHT-1M", "")
        self.used = int(used) if used.isdecimal() else self.used
        wait = 0.0
        if answer.status in (418, 429):
            text = answer.headers.get("Retry-After", "")
            wait = float(text) if text.isdecimal() else _MINUTE
            logger.warning("%s asks to wait for %.0f s.", self.source.venue, wait)
        elif self.used > LEFT_TO_OTHERS and self.source.upstream is None:
            wait = _MINUTE - (self._clock.now() + self.offset) / 1_000 % _MINUTE
        if wait:
            self._held_until = max(self._held_until, asyncio.get_running_loop().time() + wait)

    def _refused(self, path: str, status: int, body: bytes) -> Exception:
        text = body.decode(errors="replace")
        try:
            error = orjson.loads(body)
            code, words = int(error["code"]), str(error["msg"])
        except UNREADABLE:
            code, words = None, page_title(text)
        advice = state_advice(status)
        if code is not None and not advice:
            return Refusal(code, words, status)
        if not advice:
            advice = foreign_answer(text)
        return UpstreamLost(
            f"{self.source.venue} answered {path} with {words!r} (HTTP {status}). {advice}"
        )
