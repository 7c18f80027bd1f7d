"""The journal of a desk: entries need it, exits do not wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botlib.core.errors import OrderTaken, StoreError

if TYPE_CHECKING:
    from botlib.store.journal import OrderJournal

logger = logging.getLogger(__name__)

Write = Callable[["OrderJournal"], object]


class JournalGuard:
    """Writes to the journal; what cannot be written now is kept, in order, and written later.

    While something is kept, entries are held back (`failing`). Exits and stops go on: a full disk
    must not keep a position from being closed.

    Writes survive the death of the process when their call returns, and a power cut when `durable`
    does. Desks that wait for it at the same time share one sync of the disk.
    """

    def __init__(self, journal: OrderJournal) -> None:
        self.journal = journal
        self.failing: str | None = None
        """Why the journal could not be written last, None if it can be."""
        self._kept: deque[Write] = deque()
        self._written = 0
        self._synced = 0
        """How many writes were made, and how many of them are on disk."""
        self._syncing: asyncio.Future[None] | None = None
        # A thread of its own: strategies that hang may fill the loop's.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")

    @property
    def kept(self) -> int:
        """How many entries wait to be written."""
        return len(self._kept)

    def must(self, write: Write) -> None:
        """Write an entry without which nothing may be done.

        Raises:
            StoreError: it could not be written.
        """
        self.flush()
        if self._kept:
            raise StoreError(f"The journal cannot be written: {self.failing}")
        self._try(write)

    def later(self, write: Write) -> None:
        """Write an entry now, or as soon as the journal can be written again."""
        self._kept.append(write)
        self.flush()

    async def durable(self) -> None:
        """Wait until every write so far is on disk.

        Raises:
            StoreError: it cannot be told whether it is, or something could not be written.
        """
        self.flush()
        if self._kept:
            raise StoreError(f"The journal cannot be written: {self.failing}")
        written, loop = self._written, asyncio.get_running_loop()
        while self._synced < written:
            if self._syncing is not None:
                # It may have begun before the last of our writes: afterwards it is seen.
                await asyncio.shield(self._syncing)
                continue
            done, covered = loop.create_future(), self._written
            self._syncing = done
            try:
                await loop.run_in_executor(self._thread, self.journal.sync)
                self._synced = covered
                self._worked()
            except StoreError as error:
                self._failed(error)
                raise
            finally:
                self._syncing = None
                done.set_result(None)

    def flush(self) -> None:
        """Write what is kept, as far as that is possible."""
        while self._kept:
            try:
                self._try(self._kept[0])
            except OrderTaken as error:
                # It could never be written, and must not keep what comes after it.
                logger.error("not journaled: %s", error)
            except StoreError:
                return
            self._kept.popleft()

    def _try(self, write: Write) -> None:
        try:
            write(self.journal)
        except OrderTaken:
            raise
        except StoreError as error:
            self._failed(error)
            raise
        self._written += 1
        self._worked()

    def _worked(self) -> None:
        if self.failing is not None:
            logger.warning("the journal can be written again")
        self.failing = None

    def _failed(self, error: StoreError) -> None:
        if self.failing is None:
            logger.error("the journal cannot be written, entries are held back: %s", error)
        self.failing = str(error)
