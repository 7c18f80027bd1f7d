"""``botlib run``: run a notebook headlessly."""

from __future__ import annotations

import json
from pathlib import Path

import click

from botlib.cli.errors import CommandError
from botlib.cli.root import data_option
from botlib.core.errors import BotlibError
from botlib.core.project import runs_directory
from botlib.core.text.tables import text_table


def _parameter(
    context: click.Context, parameter: click.Parameter, values: tuple[tuple[str, str], ...]
) -> dict[str, object]:
    return {name: _value(text) for name, text in values}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the run. Default: that of the notebook.")
@click.option(
    "-p",
    "--parameter",
    "parameters",
    nargs=2,
    multiple=True,
    callback=_parameter,
    metavar="NAME VALUE",
    help="Set a parameter: JSON if it can be read as such, else text; repeat for more.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=runs_directory,
    show_default="runs/ of the data directory",
    help="Directory of the executed notebook and its report.",
)
@click.option("--grace", default=30.0, show_default=True, help="Seconds to finish after a signal.")
@click.option("--timeout", type=float, help="Seconds after which the run is stopped and failed.")
@data_option
def run(
    notebook: Path,
    name: str | None,
    parameters: dict[str, object],
    directory: Path,
    grace: float,
    timeout: float | None,
) -> None:
    """Run a notebook headlessly and print its result.

    SIGTERM and SIGINT stop it in order: the tasks end, the last cells run, the notebook is saved.
    The exit code is 0 only when every cell ran, every strategy worked, and the bot left nothing
    over when it stopped.
    """
    from botlib.runs import run_notebook

    try:
        report = run_notebook(
            notebook,
            name=name,
            parameters=parameters,
            directory=directory,
            grace=grace,
            timeout=timeout,
            log=lambda line: click.echo(line, err=True),
        )
    except BotlibError as error:
        raise CommandError(str(error)) from None
    headers: list[str] = ["what", "value"]
    rows: list[list[object]] = []
    if report.summary is not None:
        from botlib.views.summary import summary_table

        headers, rows = summary_table(report.summary)
    if report.left_over and ["left over", "; ".join(report.left_over)] not in rows:
        rows.append(["left over", "; ".join(report.left_over)])
    rows += [["never worked", words] for words in report.never_worked]
    rows += [
        ["run", f"{'ok' if report.well else 'FAILED'} after {report.seconds:.1f} s"],
        ["executed notebook", report.notebook],
        ["report", report.html],
    ]
    click.echo(text_table(headers, rows))
    if not report.ok:
        raise click.ClickException(report.error or "The run failed.")
    if report.never_worked:
        words = "; ".join(report.never_worked).rstrip(".")
        raise click.ClickException(f"A strategy never worked: {words}.")
    if report.left_over:
        raise click.ClickException(f"Left over at the stop: {'; '.join(report.left_over)}.")
