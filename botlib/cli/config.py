"""``botlib config``: print or check a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from botlib.cli.errors import CommandError
from botlib.core.errors import BotlibError


@click.command()
@click.option("--example", is_flag=True, help="Print a commented configuration with the defaults.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def config(example: bool, file: Path | None) -> None:
    """Print an example configuration, or check a configuration FILE."""
    from botlib.config import Settings
    from botlib.config import example as example_text
    from botlib.engine.strategies.active import configured_strategies

    if example == (file is not None):
        raise click.UsageError("Give --example, or a FILE to check.")
    if example:
        click.echo(example_text(), nl=False)
        return
    try:
        settings = Settings.load(file)
        configured_strategies(settings, settings.symbols, settings.risk.max_order_cost)
    except BotlibError as error:
        raise CommandError(str(error)) from None
    click.echo(
        f"{file} is sound: {settings.mode}, {', '.join(settings.symbols)} at "
        f"{', '.join(settings.timeframes)}, {len(settings.strategies)} strategies."
    )
