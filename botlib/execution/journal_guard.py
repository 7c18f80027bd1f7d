"""The journal of a desk: entries need it, exits do not wait for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
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
    """

    def __init__(self, journal: OrderJournal) -> None:
        self.journal = journal
        self.failing: str | None = None
        """Why the journal could not be written last, None if it can be."""
        self._kept: deque[Write] = deque()

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
            if self.failing is None:
                logger.error("the journal cannot be written, entries are held back: %s", error)
            self.failing = str(error)
            raise
        if self.failing is not None:
            logger.warning("the journal can be written again")
        self.failing = None
