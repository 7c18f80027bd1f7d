"""The project: the folder whose ``data/`` holds databases, runs and logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

HOME: Final = "BOTLIB_HOME"
"""Environment variable that names the folder of ``data/``."""

DATA: Final = "data"
"""Name of the data directory in the project."""

_PROJECT_FILES: Final = ("pyproject.toml", "environment.yml")


def project_directory(start: Path) -> Path:
    """Return the folder of ``data/``: ``BOTLIB_HOME``, or the nearest parent with a project file.

    A notebook in ``notebooks/`` and a run from the project therefore share one.

    Args:
        start: the folder to search from; returned if no parent has a project file.
    """
    if HOME in os.environ:
        return Path(os.environ[HOME]).resolve()
    for folder in (start, *start.parents):
        if any((folder / name).is_file() for name in _PROJECT_FILES):
            return folder
    return start


def data_directory() -> Path:
    """Return the data directory of the project that the working directory belongs to."""
    return project_directory(Path.cwd()) / DATA


def runs_directory() -> Path:
    """Return the directory of headless runs in the data directory of the project."""
    return data_directory() / "runs"
