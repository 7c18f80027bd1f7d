"""Tracebacks as the author of a cell or a strategy wants them: the own lines, and the message."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Final

from botlib.core.masking import masked

_PACKAGE: Final = str(Path(__file__).parents[1])
_LIBRARIES: Final = tuple(
    dict.fromkeys(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
)


def of_kit(filename: str) -> bool:
    """Return whether a source file belongs to botlib."""
    return filename.startswith(_PACKAGE)


def is_own(filename: str, own: Collection[str] = ()) -> bool:
    """Return whether a source file belongs to the user: not to botlib, Python or a package.

    Args:
        own: files that count as the user's wherever they are.
    """
    if filename in own:
        return True
    installed = filename.startswith(_LIBRARIES) or "site-packages" in filename
    return not (installed or of_kit(filename) or filename.startswith("<frozen"))


def own_traceback(error: BaseException, own: Collection[str] = ()) -> str:
    """Return the traceback of an error with the user's own lines only, and its message last.

    Args:
        own: files that count as the user's, such as that of a strategy of the kit.
    """
    found = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in found.stack if is_own(frame.filename, own)]
    lines = [_frame_text(frame) for frame in frames]
    return masked("".join([*lines, *found.format_exception_only()]).rstrip())


def _frame_text(frame: traceback.FrameSummary) -> str:
    where = f"{_place(frame.filename)}, line {frame.lineno}, in {frame.name}\n"
    return where + (f"    {frame.line}\n" if frame.line else "")


def _place(filename: str) -> str:
    """Return the name of a source file, or the number of the cell it is."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    naming = getattr(getattr(shell, "compile", None), "format_code_name", None)
    found = naming(filename) if naming is not None else None
    return " ".join(found) if found else filename
