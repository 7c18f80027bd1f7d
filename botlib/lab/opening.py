"""`research`: opens the stored candles of a market."""

from __future__ import annotations

import os
from pathlib import Path

from botlib.config.secrets import keys_at_hand
from botlib.core.arguments import PATH, Kind, checked_arguments, is_text
from botlib.core.project import data_directory as project_data
from botlib.lab.async_lab import AsyncLab
from botlib.lab.databases import find_venue
from botlib.lab.lab import Lab
from botlib.lab.stored import StoredMarket
from botlib.runtime import HEADLESS, get_runtime
from botlib.venues.registry import DEFAULT_VENUE


@checked_arguments(
    {
        "venue": Kind(is_text, "the name of a venue, or the stamp of a paper market"),
        "data_directory": PATH,
    }
)
def research(
    venue: str = DEFAULT_VENUE, *, data_directory: str | os.PathLike[str] | None = None
) -> Lab:
    """Open the stored candles of a market for research: no key, no running bot, no network.

    Any number of kernels may do so at once, also beside a bot that writes. Only `Lab.download`
    uses the network, and it and `Lab.import_files` need to be the one writer of the database.

    Args:
        venue: ``"binance"`` for real candles; a paper market by its stamp
            (``"paper:synthetic:seed=42"``) or the name of its database (``"synthetic-42"``).
        data_directory: the data directory; None is ``data/`` of the project.

    Raises:
        InvalidInput: there is no such market; the message lists those that are.
    """
    keys_at_hand()
    directory = project_data() if data_directory is None else Path(data_directory).absolute()
    core = AsyncLab(StoredMarket(directory, find_venue(directory, venue)))
    return Lab(core, get_runtime(watch_parent=HEADLESS in os.environ))
