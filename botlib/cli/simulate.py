"""``botlib simulate``: a bot and its exchange in virtual time."""

from __future__ import annotations

from pathlib import Path

import click

from botlib.cli.errors import CommandError
from botlib.core.errors import BotlibError
from botlib.venues.registry import capabilities


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--for", "run_for", default="1d", show_default=True, help="Market time to simulate.")
@click.option("--seed", type=int, help="Seed of the market and of all randomness.")
@click.option(
    "--step",
    default="15s",
    show_default=True,
    help=f"Market time between two prices; {capabilities().title} sends one every 2s.",
)
@click.option(
    "--log", type=click.Path(path_type=Path, dir_okay=False), help="File for the event log."
)
def simulate(
    config: Path | None, run_for: str, seed: int | None, step: str, log: Path | None
) -> None:
    """Run the bot of a CONFIG file and its paper exchange in virtual time.

    The same configuration and seed give the same event log, with the same digest.
    """
    from botlib.simulation import simulate as run

    try:
        outcome = run(config, run_for=run_for, seed=seed, step=step, log=log)
    except BotlibError as error:
        raise CommandError(str(error)) from None
    click.echo(str(outcome))
