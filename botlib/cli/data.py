"""``botlib download``, ``import``, ``report``, ``export``: candles into and out of a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from botlib.cli.errors import CommandError
from botlib.core.errors import BotlibError
from botlib.core.project import data_directory
from botlib.venues.registry import DEFAULT_VENUE, capabilities

DIRECTORY = click.option(
    "--data",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=data_directory,
    show_default="data/ of the project; 'botlib where' shows it",
    help="The data directory.",
)
VENUE_TITLE = capabilities().title

VENUE = click.option(
    "--venue",
    default=DEFAULT_VENUE,
    show_default=True,
    help="The market whose database is used: a venue, or a paper market such as synthetic-42.",
)


def _market(directory: Path, name: str) -> str:
    from botlib.lab.databases import find_venue

    return find_venue(directory, name)


@contextmanager
def _shown(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr, and convert errors of the kit to `CommandError`."""
    from tqdm import tqdm

    bar = tqdm(desc=what, unit_scale=True, disable=None, delay=0.5)

    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield progress
    except BotlibError as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:
        raise CommandError(
            "Interrupted. Everything received is stored; the same command continues."
        ) from None
    finally:
        bar.close()


@click.command(
    help=f"Download a symbol's candles from {VENUE_TITLE}; only what is missing, resumable."
)
@click.argument("symbol")
@click.argument("timeframe")
@click.option("--since", required=True, help="Start: 2024-01-01, or 180d for that long ago.")
@click.option("--until", help="The last open time. Default: the newest closed candle.")
@click.option(
    "--paper",
    metavar="URL",
    help=f"Download from a paper exchange that runs at this address, not from {VENUE_TITLE}.",
)
@DIRECTORY
def download(
    symbol: str, timeframe: str, since: str, until: str | None, paper: str | None, directory: Path
) -> None:
    """Download the missing candles of a symbol."""
    from botlib.lab.stored import StoredMarket

    async def work(progress: Callable[[int, int], None]) -> object:
        venue = DEFAULT_VENUE if paper is None else await market_at(paper)
        return await StoredMarket(directory, venue).download(
            symbol, timeframe, since, until, url=paper, progress=progress
        )

    with _shown(f"{symbol} {timeframe}") as progress:
        click.echo(asyncio.run(work(progress)))


async def market_at(url: str) -> str:
    """Return the stamp of the market of a paper exchange that runs at an address."""
    from botlib.paper import PaperControl

    async with PaperControl(url) as control:
        return str((await control.state())["venue"])


@click.command(
    "import",
    help=f"Import candle FILES: dumps of {VENUE_TITLE}, CSV, Parquet, freqtrade feather or JSON.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--overwrite",
    is_flag=True,
    help="Use the values of the files where they differ from stored ones.",
)
@VENUE
@DIRECTORY
def import_(files: tuple[Path, ...], overwrite: bool, venue: str, directory: Path) -> None:
    """Store the candles of files, and print what became of each."""
    from botlib.store.files.importing import import_into

    with _shown("import") as progress:
        venue = _market(directory, venue)
        report = import_into(directory, files, venue=venue, overwrite=overwrite, progress=progress)
    click.echo(report)
    if report.failed:
        raise CommandError("Some files were refused; the others are imported.")


@click.command()
@click.argument("symbol", required=False)
@click.argument("timeframe", required=False)
@VENUE
@DIRECTORY
def report(symbol: str | None, timeframe: str | None, venue: str, directory: Path) -> None:
    """Report how complete the stored candles are."""
    from botlib.lab.databases import open_reader
    from botlib.store import CandleStorage, database_path
    from botlib.store.coverage import data_report

    with _shown("report"):
        venue = _market(directory, venue)
        path = database_path(directory, venue)
        with open_reader(path, venue) as database:
            click.echo(data_report(CandleStorage(database), symbol, timeframe))


@click.command()
@click.argument("target")
@click.option("--symbol", "symbols", multiple=True, help="Only this one; repeat for more.")
@click.option("--timeframe", "timeframes", multiple=True, help="Only this one; repeat for more.")
@VENUE
@DIRECTORY
def export(
    target: str,
    symbols: tuple[str, ...],
    timeframes: tuple[str, ...],
    venue: str,
    directory: Path,
) -> None:
    """Write the stored candles to TARGET as a Parquet dataset: a directory, or an fsspec URL."""
    from botlib.lab.databases import open_reader
    from botlib.store import CandleStorage, database_path
    from botlib.store.files.export import export_parquet

    with _shown("export") as progress:
        venue = _market(directory, venue)
        path = database_path(directory, venue)
        with open_reader(path, venue) as database:
            done = export_parquet(
                CandleStorage(database),
                target,
                symbols=symbols or None,
                timeframes=timeframes or None,
                progress=progress,
            )
    click.echo(done)
