"""The option ``--data`` of every command, and ``botlib where``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from botlib.core.project import DATA_VARIABLE, data_root, runs_directory
from botlib.core.text.tables import text_table

F = TypeVar("F", bound=Callable[..., Any])


def _use(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        # In the environment, so that the processes of a run find the same directory.
        os.environ[DATA_VARIABLE] = str(value.expanduser().resolve())


def data_option(command: F) -> F:
    """Add the option that names the data directory to a command."""
    option = click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        callback=_use,
        expose_value=False,
        is_eager=True,
        help="The data directory. Default: data/ of the project; 'botlib where' shows it.",
    )
    return option(command)


@click.command()
@data_option
def where() -> None:
    """Print where candles, orders, runs and the log are, and why there.

    The rule is the same for every command and for notebooks: --data, or BOTLIB_DATA; else data/ of
    the folder that BOTLIB_HOME names; else data/ of the project, found upward from the working
    directory.
    """
    root = data_root()
    found = sorted(path for pattern in ("*.db", "*/*.db") for path in root.path.glob(pattern))
    databases = [path for path in found if not path.name.endswith(".ledger.db")]
    rows: list[list[object]] = [
        ["data", root.path],
        ["because it is", root.rule if root.path.exists() else f"{root.rule}; not created yet"],
        ["runs", runs_directory()],
        ["log", root.path / "logs" / "botlib.log"],
        ["kill switch file", root.path / "STOP"],
    ]
    rows += [
        ["database", f"{path.relative_to(root.path)} ({path.stat().st_size / 1e6:,.1f} MB)"]
        for path in databases
    ]
    click.echo(text_table(["what", "where"], rows))
