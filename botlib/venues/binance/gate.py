"""The gate before all requests: closed while the venue has told this computer to be silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from botlib.venues.budget import EXITS_FIRST

logger = logging.getLogger(__name__)

KEY_REFUSED: Final = frozenset({-2008, -2014, -2015, -1002})
"""Codes of a key that is unknown, malformed, revoked, of another address, or may not do this."""

ONCE_A_MINUTE: Final = 60.0
"""Seconds between two attempts with a key, or from an address, that is refused."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Why the gate is closed, and until when (time of the loop, seconds)."""

    status: int
    code: int | None
    message: str
    until: float


class RequestGate:
    """Keeps requests back that the venue does not want: it bans who goes on asking.

    A 429 closes the gate for as long as the venue says, a 418 (a ban of the address) too, and a
    refused key closes it for a minute to requests that need the key. When it opens again, exits
    go first.
    """

    def __init__(self) -> None:
        self._all: Closing | None = None
        self._signed: Closing | None = None
        self.on_barred: Callable[[str], None] = lambda reason: None
        """Is called with the reason of a ban or a refused key, at each time the venue says so."""

    def closing(self, *, signed: bool, routine: bool = False) -> Closing | None:
        """Return why a request may not be made now, None if it may.

        Args:
            signed: whether the request needs the key.
            routine: whether it lets exits go first when the gate opens.
        """
        now = asyncio.get_running_loop().time() - (EXITS_FIRST if routine else 0.0)
        for closing in (self._all, self._signed if signed else None):
            if closing is not None and now < closing.until:
                return closing
        return None

    def pause(self, *, signed: bool, routine: bool = False) -> float:
        """Return the seconds until a request may be made, 0 if it may be made now."""
        closing = self.closing(signed=signed, routine=routine)
        if closing is None:
            return 0.0
        head_start = EXITS_FIRST if routine else 0.0
        return closing.until + head_start - asyncio.get_running_loop().time()

    def refused(self, status: int, code: int | None, message: str, wait: float | None) -> bool:
        """Close the gate if an answer asks for it; return whether it does.

        Args:
            status: of the HTTP answer.
            code: the venue's own, if any.
            wait: seconds of its Retry-After, if any.
        """
        now = asyncio.get_running_loop().time()
        if status == 429:
            self._all = Closing(status, code, message, now + (1.0 if wait is None else wait))
            return True
        if code in KEY_REFUSED:
            self._signed = Closing(status, code, message, now + ONCE_A_MINUTE)
            self._bar(f"the venue refuses the API key (code {code})", message)
            return True
        if status in (403, 418):
            pause = max(wait or 0.0, ONCE_A_MINUTE if wait is None else 0.0)
            self._all = Closing(status, code, message, now + pause)
            self._bar(f"the venue has barred this address (HTTP {status})", message)
            return True
        return False

    def _bar(self, reason: str, message: str) -> None:
        logger.error("%s: %s", reason, message)
        self.on_barred(reason)
