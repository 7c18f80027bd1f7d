"""``botlib first-contact``: what differs at the real venue from what the kit expects."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from botlib.cli.contact_steps import STEPS, take
from botlib.cli.data import VENUE_TITLE
from botlib.cli.errors import CommandError
from botlib.core.errors import BotlibError

if TYPE_CHECKING:
    from botlib.venues.binance.first_contact import Comparison

DIFFERENT: Final = 1
"""Exit code of a venue that differs."""

_COLUMNS: Final = ("where", "what", "name", "seen", "example")


@click.command("first-contact", help=f"Compare {VENUE_TITLE} with what the kit expects of it.")
@click.option(
    "--url", help="A paper exchange on this computer that stands in, as http://127.0.0.1:9000."
)
def first_contact(url: str | None) -> None:
    """Read public answers and frames without a key, and print what differs."""
    try:
        found = asyncio.run(_compare(url))
    except BotlibError as error:
        raise CommandError(str(error)) from None
    click.echo(f"Compared: {', '.join(found.compared)}.")
    if not found.differences:
        click.echo("No differences.")
        return
    _print(found)
    click.echo("Send this table to the authors of the kit: it contains nothing of yours.")
    raise SystemExit(DIFFERENT)


async def _compare(url: str | None) -> Comparison:
    from botlib.venues.binance.api import require_loopback
    from botlib.venues.binance.first_contact import compare

    if url is not None:
        require_loopback(url)
        url = url.rstrip("/")
    found = await compare(url)
    for name in STEPS:
        with tempfile.TemporaryDirectory() as directory:
            await take(name, url, found, Path(directory))
    return found


def _print(found: Comparison) -> None:
    """Print the differences as a table that can be pasted into a message."""
    rows = [_COLUMNS] + [
        (row.where, row.what, row.name, str(row.count), row.example.replace("\n", " "))
        for row in found.differences
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
