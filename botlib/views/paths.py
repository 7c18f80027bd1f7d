"""Paths as views show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.config import Settings


def project_path(settings: Settings, path: Path) -> str:
    """Return a path relative to the project, such as ``data/STOP``; absolute if outside of it."""
    project = settings.data_directory.parent
    return str(path.relative_to(project)) if path.is_relative_to(project) else str(path)
