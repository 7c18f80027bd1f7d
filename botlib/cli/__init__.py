"""The command ``botlib`` and its subcommands, one module per subject.

What enters are command lines; what leaves are calls of the packages below, tables on stdout, and
exit codes. The packages are imported when a command runs, so that ``botlib --help`` is fast.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from botlib.cli.config import config
from botlib.cli.data import download, export, import_, report
from botlib.cli.first_contact import first_contact
from botlib.cli.new import new
from botlib.cli.paper import paper
from botlib.cli.root import data_option, where
from botlib.cli.run import run
from botlib.cli.simulate import simulate
from botlib.cli.watch import watch
from botlib.config.secrets import keys_at_hand
from botlib.core.text.masking import masked


class MaskingGroup(click.Group):
    """A group of commands whose errors are printed with secrets masked."""

    def main(self, *args: Any, **options: Any) -> Any:
        keys_at_hand()
        try:
            return super().main(*args, **options)
        except Exception:
            sys.stderr.write(masked(traceback.format_exc()))
            sys.exit(1)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _masked_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _masked_errors():
            return super().invoke(ctx)


@contextmanager
def _masked_errors() -> Iterator[None]:
    """Mask secrets in the errors of click, which repeat what was typed."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = masked(error.message)
        raise


@click.group(cls=MaskingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="botlib")
@data_option
def main() -> None:
    """A Jupyter-first kit for crypto research and live trading."""


COMMANDS = (
    run, paper, watch, simulate, config, download, import_, report, export, first_contact, where,
    new,
)  # fmt: skip

for command in COMMANDS:
    main.add_command(command)

__all__ = ["main"]
