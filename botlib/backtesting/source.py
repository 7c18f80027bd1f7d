"""The source of a strategy: the text that its signals depend on."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cached_property
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from botlib.strategy import Strategy

_CACHE: Final = "_known_parameters"
"""Attribute that a strategy's class gets when it is first used."""


def code_hash(strategy: type[Strategy]) -> str:
    """Return a hash of the source that a strategy's signals depend on."""
    return hashlib.blake2b(source_of(strategy).encode(), digest_size=16).hexdigest()


def source_of(strategy: type[Strategy]) -> str:
    """Return the source that a strategy's signals depend on.

    That is the whole file of each of its classes; for a class of a notebook its own source, or its
    compiled methods if the source is not known.
    """
    texts = [_text(part) for part in strategy.__mro__ if not _is_base(part)]
    return "\n".join([f"{strategy.__module__}.{strategy.__qualname__}", *texts])


def _is_base(part: type) -> bool:
    return part is object or part.__module__ in ("botlib.strategy", "abc", "typing")


def _text(part: type) -> str:
    file = getattr(sys.modules.get(part.__module__), "__file__", None)
    if part.__module__ != "__main__" and file:
        return Path(file).read_text(encoding="utf-8")
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):
        return repr(
            [
                (name, _member(value))
                for name, value in sorted(vars(part).items())
                if (not name.startswith("__") or name == "__init__") and name != _CACHE
            ]
        )


def _member(value: object) -> object:
    """Return what a member of a class says, without the addresses that differ in every process."""
    if isinstance(value, property):
        return [_member(part) for part in (value.fget, value.fset) if part is not None]
    if isinstance(value, (staticmethod, classmethod)):
        return _member(value.__func__)
    if isinstance(value, cached_property):
        return _member(value.func)
    code = getattr(value, "__code__", None)
    return repr(value) if code is None else _code(code)


def _code(code: CodeType) -> tuple[object, ...]:
    return code.co_code.hex(), code.co_names, [_constant(value) for value in code.co_consts]


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _code(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
