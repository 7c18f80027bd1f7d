"""``botlib new``: files to begin with."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template
from typing import Final

import click

from botlib.cli.errors import CommandError

TEMPLATES: Final = Path(__file__).parent / "templates"

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@click.group()
def new() -> None:
    """Create a file to begin with."""


@new.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Directory of the files. Default: the working directory.",
)
def strategy(name: str, into: Path) -> None:
    """Create a strategy that works, with a test that passes: NAME is such as Breakout.

    Both are yours to change. The class is then Breakout in breakout.py, its test test_breakout.py.
    """
    words = _WORDS.findall(name)
    module = "_".join(words).lower()
    kind = "".join(word[0].upper() + word[1:] for word in words)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or keyword.iskeyword(module):
        raise CommandError(
            f"Cannot name a strategy {name!r}. Accepted: a word or several, such as Breakout, "
            "MyBreakout or my-breakout."
        )
    files = {into / f"{module}.py": "strategy.txt", into / f"test_{module}.py": "test.txt"}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise CommandError(f"{' and '.join(there)} exist already. Choose another name, or move it.")
    if importlib.util.find_spec(module) is not None:
        raise CommandError(
            f"Python has a module {module!r} already, which would hide the strategy. Choose "
            "another name."
        )
    into.mkdir(parents=True, exist_ok=True)
    for path, template in files.items():
        text = Template((TEMPLATES / template).read_text(encoding="utf-8"))
        path.write_text(text.substitute(module=module, kind=kind), encoding="utf-8")
        click.echo(f"Created {path}")
    click.echo(
        f"Its test: python -m pytest {into / f'test_{module}.py'}\n"
        f"In a notebook in the same directory: from {module} import {kind}\n"
        f"  bot.check({kind}(), 'BTC/USDT'), bot.backtest(...), bot.trade(...)\n"
        f"In a configuration: strategy: {module}:{kind}"
    )
