"""A refused command."""

from __future__ import annotations

import click


class Refused(click.ClickException):
    """The message alone, exit code 2."""

    exit_code = 2
