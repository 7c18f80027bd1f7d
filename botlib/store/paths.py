"""Paths of the databases in a data directory: of the markets, and of the experiments."""

from __future__ import annotations

import re
from pathlib import Path

from botlib.core.errors import InvalidInput
from botlib.venues.registry import VENUES


def database_path(data_directory: Path, venue: str) -> Path:
    """Return the path of the database of a venue.

    Args:
        data_directory: the data directory, as configured.
        venue: a registered name, or the stamp of a paper market: ``paper:synthetic:seed=42``,
            ``paper:mirror:binance`` or ``paper:recording:<name>:<digest>``. That of an account
            other than the first ends with its name: ``paper:mirror:binance/second``.

    Raises:
        InvalidInput: the venue has none of these forms.
    """
    if venue in VENUES:
        return data_directory / VENUES[venue].capabilities.database
    if (name := _paper_name(venue)) is not None:
        return data_directory / "paper" / f"{name}.db"
    raise InvalidInput(
        f"There is no database for the venue {venue!r}. Accepted: "
        f"{', '.join(repr(name) for name in VENUES)}, "
        "'paper:synthetic:seed=<number>', 'paper:mirror:<venue>', "
        "'paper:recording:<name>:<hexadecimal digest>'."
    )


def experiments_path(data_directory: Path) -> Path:
    """Return the path of the experiment book, which all markets of a data directory share."""
    return data_directory / "experiments" / "book.db"


def _paper_name(stamp: str) -> str | None:
    """Return the name of the database of a paper market, None if the stamp is none of one."""
    market, account = stamp, ""
    if owned := re.fullmatch(r"(.+)/([A-Za-z0-9_-]{1,32})", stamp):
        market, account = owned[1], f"@{owned[2]}"
    if seed := re.fullmatch(r"paper:synthetic:seed=(\d+)", market):
        return f"synthetic-{seed[1]}{account}"
    if recording := re.fullmatch(r"paper:recording:(.+):([0-9a-f]{8,64})", market):
        name = re.sub(r"[^A-Za-z0-9._+-]+", "_", recording[1])
        return f"recording-{name}-{recording[2][:8]}{account}"
    if mirror := re.fullmatch(r"paper:mirror:([\w-]+)(?:@(\d+))?", market):
        stand_in = f"-{mirror[2]}" if mirror[2] else ""
        return f"mirror-{mirror[1]}{stand_in}{account}"
    return None
