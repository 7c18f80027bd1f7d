"""Tracebacks as the author of a cell or a strategy wants them: the own lines, and the message."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from botlib.core.text.masking import masked

_PACKAGE: Final = str(Path(__file__).parents[2])
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


def short_traceback(error: BaseException) -> list[str]:
    """Return an error as IPython shows it, without the lines of botlib and of its libraries.

    ``%xmode Verbose`` shows all of them. The error that caused it is left out: the message says
    what a person has to know of it.
    """
    shell = _shell()
    formatter = shell.InteractiveTB
    if formatter.mode in ("Verbose", "Docs"):
        return list(formatter.structured_traceback(type(error), error, error.__traceback__, 1))
    own, hidden = _own_frames(error.__traceback__)
    if own is None:
        return [f"{type(error).__name__}: {error}"]
    before = error.__cause__, error.__context__, error.__suppress_context__
    try:
        error.__cause__ = error.__context__ = None
        shown = list(formatter.structured_traceback(type(error), error, own, 0))
    finally:
        error.__cause__, error.__context__, error.__suppress_context__ = before
    if hidden and shown:
        calls, them = ("1 call", "it") if hidden == 1 else (f"{hidden} calls", "them")
        shown.insert(-1, f"      ({calls} inside botlib: %xmode Verbose shows {them})\n")
    return shown


def _own_frames(trace: TracebackType | None) -> tuple[TracebackType | None, int]:
    """Return a traceback of the user's frames only, and how many others were left out."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    own: TracebackType | None = None
    kept = [one for one in frames if is_own(one.tb_frame.f_code.co_filename)]
    for one in reversed(kept):
        own = TracebackType(own, one.tb_frame, one.tb_lasti, one.tb_lineno)
    hidden = sum(of_kit(one.tb_frame.f_code.co_filename) for one in frames)
    return own, hidden


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _frame_text(frame: traceback.FrameSummary) -> str:
    where = f"{_place(frame.filename)}, line {frame.lineno}, in {frame.name}\n"
    return where + (f"    {frame.line}\n" if frame.line else "")


def _place(filename: str) -> str:
    """Return the name of a source file, or the number of the cell it is."""
    naming = getattr(getattr(_shell(), "compile", None), "format_code_name", None)
    found = naming(filename) if naming is not None else None
    return " ".join(found) if found else filename
