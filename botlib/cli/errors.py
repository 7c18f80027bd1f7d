"""The error of a command that is refused."""

from __future__ import annotations

import click


class CommandError(click.ClickException):
    """A refused command: prints its message without a traceback, exit code 2."""

    exit_code = 2
