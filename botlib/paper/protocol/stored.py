"""Records that are stored as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any, Self

import orjson


class Stored:
    """A record that is stored as JSON, with decimals as texts."""

    __slots__ = ()

    def dump(self) -> bytes:
        """Return the record as JSON."""
        values = {name: getattr(self, name) for name in _names(type(self))}
        return orjson.dumps(values, default=str)

    @classmethod
    def load(cls, text: bytes | str) -> Self:
        """Return the record that `dump` wrote, of this version or an earlier one."""
        values: dict[str, Any] = orjson.loads(text)
        for name in _decimals(cls):
            if name in values:
                values[name] = Decimal(str(values[name]))
        cls.revive(values)
        return cls(**values)

    @classmethod
    def revive(cls, values: dict[str, Any]) -> None:
        """Convert the values of a stored record that are not plain texts or numbers, in place."""


_FIELDS: dict[type, tuple[str, ...]] = {}
_DECIMALS: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> Sequence[str]:
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(one.name for one in fields(kind))
    return _FIELDS[kind]


def _decimals(kind: type) -> Sequence[str]:
    if kind not in _DECIMALS:
        _DECIMALS[kind] = tuple(one.name for one in fields(kind) if one.type == "Decimal")
    return _DECIMALS[kind]
