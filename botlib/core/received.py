"""Received values in the messages of errors: what came, in a few words, and how it is refused."""

from __future__ import annotations

from typing import Final

from botlib.core.errors import InvalidInput
from botlib.core.text import formats

LONGEST: Final = 60
"""Most characters of a value in a message."""


def short(value: object) -> str:
    """Return what a value is, in one line: a table by its shape, anything else by its repr.

    No numpy or pandas is imported for it: both have ``shape``.
    """
    kind = type(value).__name__
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        if len(shape) == 1:
            return f"{_article(kind)} {kind} of {formats.count(shape[0])} values"
        return f"{_article(kind)} {kind} of the shape {shape}"
    if callable(value):
        name = getattr(value, "__name__", "")
        return f"the function {name}" if name else f"{_article(kind)} {kind}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # A repr is the value's own code, and the message must come out.
        text = f"<{kind}>"
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    return text if value is None or text.startswith(("<", kind)) else f"{text} ({kind})"


def refused(name: str, value: object, accepted: str) -> InvalidInput:
    """Return the error for an argument of a wrong type or value.

    Args:
        name: of the argument.
        value: what came.
        accepted: what it may be, as a part of a sentence.
    """
    return InvalidInput(f"{name} is {short(value)}. Accepted: {accepted}.")


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" or noun == "ndarray" else "a"
