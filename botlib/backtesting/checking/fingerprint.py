"""Fingerprints of values: equal for equal values, and small enough to keep many."""

from __future__ import annotations

import sys
import zlib
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from types import FunctionType, ModuleType
from typing import Final

import numpy as np

_FIXED: Final = (
    type(None), bool, int, float, complex, str, bytes, Decimal, np.generic, FunctionType, type,
)  # fmt: skip

_DEEPEST: Final = 4
_MOST_ITEMS: Final = 200


def fingerprint(value: object, depth: int = _DEEPEST) -> object:
    """Return something that is equal for equal values, and small.

    Of containers the first 200 items count, of other objects their attributes.
    """
    import pandas as pd

    if isinstance(value, _FIXED):
        return value if value == value else "NaN"
    if isinstance(value, np.ndarray):
        data = b"" if value.dtype == object else np.ascontiguousarray(value).tobytes()
        return ("array", value.shape, str(value.dtype), zlib.crc32(data))
    if isinstance(value, pd.DataFrame):
        columns = tuple(fingerprint(column, depth) for _, column in value.items())
        return ("frame", tuple(map(str, value.columns)), columns)
    if isinstance(value, pd.Series):
        return ("series", fingerprint(value.index, depth), fingerprint(value.to_numpy(), depth))
    if isinstance(value, pd.Index):
        return ("index", fingerprint(value.to_numpy(), depth))
    if depth <= 0:
        return type(value).__name__
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_MOST_ITEMS]
        parts = tuple((repr(key), fingerprint(one, depth - 1)) for key, one in pairs)
        return (type(value).__name__, len(value), parts)
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        items = list(value)[:_MOST_ITEMS]
        inner = tuple(fingerprint(one, depth - 1) for one in items)
        return (type(value).__name__, len(value), inner)
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not is_library(value):
        return (type(value).__name__, fingerprint(attributes, depth - 1))
    return type(value).__name__


def is_fixed(value: object) -> bool:
    """Return whether nobody can change a value in place."""
    if isinstance(value, tuple):
        return all(is_fixed(one) for one in value)
    return isinstance(value, _FIXED)


def is_library(value: object) -> bool:
    """Return whether a value is a module, a function, or of a library that keeps no data.

    A compiled function changes when it is called for the first time, which says nothing.
    """
    package = type(value).__module__.partition(".")[0]
    if isinstance(value, ModuleType) or callable(value) or package in {"botlib", "pandas"}:
        return True
    return package in sys.stdlib_module_names and package != "types"
