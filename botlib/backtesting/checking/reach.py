"""The data that a strategy can reach beyond its candles: on itself, its class, and around its code.

Live, such data does not grow with the market; over history it may know what came later.
"""

from __future__ import annotations

import dis
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from botlib.backtesting.checking.fingerprint import fingerprint, is_library
from botlib.core.text import formats
from botlib.strategy import Strategy

if TYPE_CHECKING:
    import pandas as pd

LONG: Final = 100
"""Items of a list or a dict from which on it is data, not a few parameters."""

_DEEPEST: Final = 3
_MOST_ITEMS: Final = 50
_MOST: Final = 40
"""Pieces of data that are named at most."""

Put = Callable[[object], None]


@dataclass(frozen=True, slots=True, eq=False)
class ReachedData:
    """A frame, an array or a long container that a strategy can reach.

    Attributes:
        name: where it is, such as ``global PRICES`` or ``self.model.coef_``.
        put: sets another value in its place.
    """

    name: str
    value: Any
    put: Put

    @property
    def words(self) -> str:
        """Its name, kind and size."""
        kind = type(self.value).__name__
        shape = getattr(self.value, "shape", None)
        if shape is None:
            return f"{self.name} ({kind} of {formats.count(len(self.value))})"
        return f"{self.name} ({kind}, {' × '.join(f'{formats.count(size)}' for size in shape)})"

    @property
    def times(self) -> pd.DatetimeIndex | None:
        """The moments its rows belong to, None if they belong to none."""
        import pandas as pd

        index = getattr(self.value, "index", None)
        return index if isinstance(index, pd.DatetimeIndex) else None

    @property
    def own(self) -> bool:
        """Whether it is on the strategy object itself."""
        return self.name.startswith("self.")


@dataclass(slots=True)
class Reach:
    """Everything that the code of a strategy names beyond its candles.

    Attributes:
        roots: the values by name, with what sets another in their place.
    """

    roots: dict[str, tuple[object, Put]] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, strategy: Strategy) -> Reach:
        """Return what a strategy reaches: attributes, class attributes, globals, closures."""
        reach = cls()
        for name, value in vars(strategy).items():
            reach._add(f"self.{name}", value, _attribute(strategy, name))
        for base in type(strategy).__mro__:
            if base is Strategy or not issubclass(base, Strategy):
                continue
            reach._class(base)
        return reach

    @property
    def data(self) -> list[ReachedData]:
        """The frames, arrays and long containers among it, by name; copies are named once."""
        found: list[ReachedData] = []
        seen: set[int] = set()
        for name, (value, put) in self.roots.items():
            for one in _pieces(name, value, put, _DEEPEST):
                if id(one.value) not in seen and len(found) < _MOST:
                    seen.add(id(one.value))
                    found.append(one)
        return found

    def fingerprints(self) -> dict[str, object]:
        """Return fingerprints of what is not on the strategy object, by name."""
        return {
            name: fingerprint(value)
            for name, (value, _) in self.roots.items()
            if not name.startswith("self.")
        }

    def _class(self, owner: type) -> None:
        if id(owner) in self._seen:
            return
        self._seen.add(id(owner))
        for name, value in list(vars(owner).items()):
            function = _function(value)
            if function is not None:
                self._code(function)
            elif not name.startswith("__") and name not in ("_known_parameters", "timeframes"):
                self._add(f"{owner.__name__}.{name}", value, _attribute(owner, name))

    def _code(self, function: FunctionType) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if name != "__class__":
                try:
                    content = cell.cell_contents
                except ValueError:
                    continue  # not bound yet
                self._add(f"closure {name}", content, _cell(cell))
        names = function.__code__.co_varnames
        for place, value in enumerate(function.__defaults__ or ()):
            name = names[function.__code__.co_argcount - len(function.__defaults__ or ()) + place]
            self._add(f"default {name}= of {function.__name__}()", value, _default(function, place))
        for name, value in (function.__kwdefaults__ or {}).items():
            self._add(
                f"default {name}= of {function.__name__}()",
                value,
                _item(cast(dict[object, object], function.__kwdefaults__), name),
            )
        used = set(_names(function.__code__))
        for name in sorted(set(_globals(function.__code__)) & function.__globals__.keys()):
            self._add_global(name, function.__globals__, used)

    def _add_global(self, name: str, place: dict[str, Any], used: set[str]) -> None:
        value = place[name]
        if isinstance(value, ModuleType):
            if not _is_foreign(value.__name__):
                for part in sorted(used & vars(value).keys()):
                    inner = vars(value)[part]
                    self._add(f"global {name}.{part}", inner, _attribute(value, part))
            return
        self._add(f"global {name}", value, _item(cast(dict[object, object], place), name))

    def _add(self, name: str, value: object, put: Put) -> None:
        function = _function(value)
        if function is not None:
            if not _is_foreign(function.__module__):
                self._code(function)
        elif isinstance(value, type):
            if not _is_foreign(value.__module__) and value is not Strategy:
                self._class(value)
        elif not isinstance(value, ModuleType):
            self.roots.setdefault(name, (value, put))


def _pieces(name: str, value: object, put: Put, depth: int) -> Iterator[ReachedData]:
    if isinstance(value, (str, bytes, type, ModuleType, FunctionType)) or value is None:
        return
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "__array__"):
        if isinstance(shape, tuple) and int(np.prod(shape)) > 1:
            yield ReachedData(name, value, put)
        return
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        yield from _contained(name, value, put, depth)
        return
    attributes = getattr(value, "__dict__", None)
    if depth > 0 and isinstance(attributes, dict) and not is_library(value):
        for key, inner in list(attributes.items())[:_MOST_ITEMS]:
            yield from _pieces(f"{name}.{key}", inner, _attribute(value, str(key)), depth - 1)


def _contained(
    name: str,
    value: list[object]
    | tuple[object, ...]
    | dict[object, object]
    | set[object]
    | frozenset[object],
    put: Put,
    depth: int,
) -> Iterator[ReachedData]:
    if len(value) >= LONG or (name.startswith("self.") and _is_model(value)):
        yield ReachedData(name, value, put)
        return
    if depth <= 0 or isinstance(value, (set, frozenset)):
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs)[:_MOST_ITEMS]:
        # A tuple cannot be changed, so what is inside one is only named.
        inner_put = (
            _nothing if isinstance(value, tuple) else _item(cast(dict[object, object], value), key)
        )
        yield from _pieces(f"{name}[{key!r}]", inner, inner_put, depth - 1)


def _is_model(value: Collection[object]) -> bool:
    """Return whether a short container has the numbers of a model in it, not whole numbers."""
    return len(value) > 1 and all(isinstance(one, (float, np.floating)) for one in value)


def _function(value: object) -> FunctionType | None:
    """Return the function behind a method, a property or a decorator."""
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value)
    value = getattr(value, "__wrapped__", value)
    return value if isinstance(value, FunctionType) else None


def _globals(code: CodeType) -> Iterator[str]:
    """Return the names that code looks up around it; those of attributes are not among them."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@cache
def _is_foreign(module: str | None) -> bool:
    """Return whether a module is part of Python, of an installed package or of this one."""
    if not module or module == "__main__":
        return False
    if module.partition(".")[0] in {"botlib", *sys.stdlib_module_names}:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return False
    paths = sysconfig.get_paths()
    homes = [Path(paths[name]).resolve() for name in ("stdlib", "purelib", "platlib")]
    return any(Path(file).resolve().is_relative_to(home) for home in homes)


def _attribute(owner: object, name: str) -> Put:
    return lambda value: setattr(owner, name, value)


def _item(owner: dict[object, object], key: object) -> Put:
    def put(value: object) -> None:
        owner[key] = value

    return put


def _cell(cell: Any) -> Put:
    def put(value: object) -> None:
        cell.cell_contents = value

    return put


def _default(function: FunctionType, place: int) -> Put:
    def put(value: object) -> None:
        given = list(function.__defaults__ or ())
        given[place] = value
        function.__defaults__ = tuple(given)

    return put


def _nothing(value: object) -> None:
    """Leave what cannot be changed."""
