"""`MirrorWatch`: what a bot knows of its mirror, and what it does while that is stale."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from botlib.core.errors import ExchangeError

if TYPE_CHECKING:
    from botlib.engine.paper.service import PaperService
    from botlib.execution import OrderPath
    from botlib.paper import MirrorState

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two looks at the mirror."""
NAME: Final = "mirror"
"""Name of the caution."""


def stale_words(state: MirrorState) -> str:
    """Return that a mirror is stale, and why."""
    return f"the mirror of {state.venue} is stale, and fills nothing: {state.reason}"


class MirrorWatch:
    """The look at a mirror, once a second.

    While it is stale, entries are held back. When it follows its venue again, markets that it had
    halted are read again at once, so that orders resume by themselves.

    Args:
        paper: the connection to the mirror.
        orders: the entrance to the desks.
    """

    def __init__(self, paper: PaperService, orders: OrderPath) -> None:
        self._paper = paper
        self._orders = orders
        self._before: MirrorState | None = None
        self._stale_since: float | None = None

    async def look(self) -> None:
        """Read the state of the mirror: the body of the task ``mirror_watch``.

        Raises:
            ExchangeError: the mirror, or the venue behind it, does not answer.
        """
        try:
            state = await self._paper.read_mirror()
        except ExchangeError:
            self._orders.caution(NAME, "the mirror does not answer")
            raise
        if state is None:
            return
        self._orders.caution(NAME, stale_words(state) if state.stale else None)
        self._tell(state)
        self._before = state
        if not state.stale:
            await self._orders.read_markets()

    def _tell(self, state: MirrorState) -> None:
        now, before = asyncio.get_running_loop().time(), self._before
        if state.stale and self._stale_since is None:
            self._stale_since = now
            logger.warning("%s", stale_words(state))
        elif not state.stale and self._stale_since is not None:
            logger.warning(
                "the mirror of %s follows it again after %.0f s; so far: %s",
                *(state.venue, now - self._stale_since, state.losses() or "nothing was lost"),
            )
            self._stale_since = None
        elif before is not None and state.losses() != before.losses():
            logger.warning("the mirror of %s lost something: %s", state.venue, state.losses())
