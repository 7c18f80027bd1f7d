"""`ExchangeSign`: the file that says where the exchange of a paper market answers, and to whom."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Final

from botlib.core.errors import EngineError, PaperExchangeError
from botlib.core.temporary import runs
from botlib.store.atomic_files import draft

ANSWER_SECONDS: Final = 2.0
"""Seconds in which an exchange that runs says so."""


class ExchangeSign:
    """A file beside the ledger of a paper market, for other bots that want the same market.

    Args:
        ledger: of the market.
    """

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(ledger.name.replace(".ledger.db", ".exchange.json"))
        self._mine = False

    def put(self, url: str) -> None:
        """Write where the exchange of this market answers, and that it is this process's."""
        with draft(self._path, durable=False) as file:
            file.write(json.dumps({"url": url, "bot": os.getpid()}).encode())
        self._mine = True

    def remove(self) -> None:
        """Remove the file, if it was written here."""
        if self._mine:
            self._path.unlink(missing_ok=True)
            self._mine = False

    async def check_free(self) -> None:
        """Check that no bot of another process trades on this market.

        Raises:
            EngineError: one does; the message says how to trade beside it.
        """
        from botlib.paper import PaperControl

        try:
            found = json.loads(self._path.read_text())
            url, bot = str(found["url"]), int(found["bot"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if bot == os.getpid() or not runs(bot):
            return  # its exchange ends by itself
        control = PaperControl(url)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                state = await control.state()
        except (PaperExchangeError, TimeoutError, OSError):
            return
        finally:
            await control.close()
        raise EngineError(
            f"Another notebook or program (process {bot}) trades on {state['venue']} already, and "
            "its account belongs to one bot. Take a market of your own: "
            "bl.connect(paper={'seed': 43}); or trade on the same market with an account of your "
            f"own: bl.connect(paper={{'url': {url!r}, 'account': 'second'}})."
        )
