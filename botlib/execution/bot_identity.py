"""The id of a bot, by which two bots on one account know each other's orders."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from botlib.store.journal import OrderJournal

BOT_ID: Final = "bot_id"
"""Name of the state in which the journal keeps the id of its bot."""


def bot_id(journal: OrderJournal, rng: random.Random) -> str:
    """Return the id of a journal's bot; the first call draws it.

    It stands in every client order id, so that two bots on one account know each other's orders.
    """
    known = journal.get_state(BOT_ID)
    if known is None:
        known = f"{rng.getrandbits(24):06x}"
        journal.set_state(BOT_ID, known)
    return str(known)
