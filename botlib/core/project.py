"""The project: the folder whose ``data/`` holds databases, runs and logs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = "BOTLIB_HOME"
"""Environment variable that names the folder of ``data/``."""

DATA_VARIABLE: Final = "BOTLIB_DATA"
"""Environment variable that names the data directory itself, as ``--data`` does."""

DATA: Final = "data"
"""Name of the data directory in the project."""

_PROJECT_FILES: Final = ("pyproject.toml", "environment.yml")


@dataclass(frozen=True, slots=True)
class DataRoot:
    """The data directory, and the rule by which it was found."""

    path: Path
    rule: str


def project_directory(start: Path) -> Path:
    """Return the folder of ``data/``: ``BOTLIB_HOME``, or the nearest parent with a project file.

    A notebook in ``notebooks/`` and a run from the project therefore share one.

    Args:
        start: the folder to search from; returned if no parent has a project file.
    """
    if HOME in os.environ:
        return Path(os.environ[HOME]).resolve()
    return _project_file(start)[0]


def _project_file(start: Path) -> tuple[Path, str]:
    """Return the folder of the nearest project file, and its name; empty if there is none."""
    for folder in (start, *start.parents):
        for name in _PROJECT_FILES:
            if (folder / name).is_file():
                return folder, name
    return start, ""


def data_root() -> DataRoot:
    """Return the data directory of this process, and the rule by which it was found.

    The rule is the same for every command and for notebooks: the directory that ``--data`` or
    ``BOTLIB_DATA`` names, else ``data/`` of the folder that ``BOTLIB_HOME`` names, else ``data/``
    of the project that the working directory belongs to.
    """
    if DATA_VARIABLE in os.environ:
        path = Path(os.environ[DATA_VARIABLE]).expanduser().resolve()
        return DataRoot(path, f"named by --data or {DATA_VARIABLE}")
    path = project_directory(Path.cwd()) / DATA
    if HOME in os.environ:
        return DataRoot(path, f"of the folder that {HOME} names")
    folder, name = _project_file(Path.cwd())
    if name:
        return DataRoot(path, f"of the project of {folder / name}")
    return DataRoot(path, "of the working directory, which belongs to no project")


def data_directory() -> Path:
    """Return the data directory of this process; see `data_root`."""
    return data_root().path


def runs_directory() -> Path:
    """Return the directory of headless runs in the data directory of the project."""
    return data_directory() / "runs"
