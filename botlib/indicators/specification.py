"""The words for indicators: ``"ema(20)"`` means the same in a chart, a strategy and the engine.

A specification is a call: a name, then numbers in the order of the indicator's parameters or by
keyword, and for indicators of one price column ``source=``::

    ema(20)   bbands(20, 2)   macd(12, 26, signal=9)   sma(10, source=high)   atr
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from botlib.core.errors import InvalidInput, did_you_mean

Value = int | float | str | bool

SOURCES: Final = ("open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4")
"""What ``source=`` accepts: a column of the candles, or the mean of several prices."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an indicator; a default of None is known to the indicator alone."""

    name: str
    kind: type
    default: Value | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """What an indicator reads, takes and gives.

    Attributes:
        inputs: the candle columns it reads; ``("source",)`` where the user may choose one.
        parameters: in the order of their positions.
        outputs: names of the columns it gives; one without a name is a Series; None is not known
            before it was computed.
        ascending: names of parameters whose values must ascend strictly.
    """

    name: str
    inputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[str, ...] | None = ("",)
    ascending: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The call with its defaults, for people: ``bbands(length=5, std=2)``."""
        words = [
            one.name if one.default is None else f"{one.name}={_text(one.default)}"
            for one in self.parameters
        ]
        if self.inputs == ("source",):
            words.append("source=close")
        return f"{self.name}({', '.join(words)})"


@dataclass(frozen=True, slots=True)
class Indicator:
    """A parsed specification; equal ones are the same indicator, ``str()`` is its one spelling."""

    definition: Definition
    values: tuple[tuple[str, Value], ...]
    source: str = "close"

    @property
    def name(self) -> str:
        """Name of the indicator without its parameters."""
        return self.definition.name

    @property
    def parameters(self) -> dict[str, Value]:
        """The parameters that are set, by name."""
        return dict(self.values)

    def __str__(self) -> str:
        words: list[str] = []
        given = dict(self.values)
        in_place = True
        for one in self.definition.parameters:
            if one.name not in given:
                in_place = False
                continue
            text = _text(given[one.name])
            words.append(text if in_place else f"{one.name}={text}")
        if self.source != "close":
            words.append(f"source={self.source}")
        return f"{self.name}({', '.join(words)})" if words else self.name


def parse(spec: str | Indicator) -> Indicator:
    """Read a specification such as ``"ema(20)"``.

    Raises:
        InvalidInput: it cannot be read, names no indicator, or gives it values it does not take.
    """
    if isinstance(spec, Indicator):
        return spec
    return _known(spec) if isinstance(spec, str) else _read(spec)


@lru_cache(maxsize=1_000)
def _known(spec: str) -> Indicator:
    # A strategy asks for the same ones at every candle.
    return _read(spec)


def _read(spec: object) -> Indicator:
    name, arguments, keywords = _call(spec)
    return indicator(name, *arguments, **keywords)


def indicator(name: str, /, *arguments: object, **keywords: object) -> Indicator:
    """Return an indicator by its name and parameters, as `parse` does from a text.

    Raises:
        InvalidInput: there is no such indicator, or it does not take these values.
    """
    definition = define(name)
    source = keywords.pop("source", "close")
    if definition.inputs != ("source",) and source != "close":
        raise InvalidInput(
            f"{name} takes no source: it reads {', '.join(definition.inputs)}. "
            f"Accepted: {definition.usage}."
        )
    if source not in SOURCES:
        raise InvalidInput(
            f"Cannot use {source!r} as the source of {name}. Accepted: {', '.join(SOURCES)}."
            f"{did_you_mean(str(source), SOURCES)}"
        )
    given = _bind(definition, arguments, keywords)
    values = tuple(
        (one.name, value)
        for one in definition.parameters
        if (value := _value(definition, one, given.get(one.name, one.default))) is not None
    )
    _check_order(definition, dict(values))
    return Indicator(definition, values, str(source))


def define(name: str) -> Definition:
    """Return what is known of an indicator by its name.

    Raises:
        InvalidInput: there is none, or it cannot be used without looking ahead.
    """
    from botlib.indicators.formulas import CORE

    if name in CORE:
        return CORE[name].definition
    # Everything below loads pandas-ta-classic.
    from botlib.indicators import library

    return library.define(name)


def names() -> tuple[str, ...]:
    """Return the names of all indicators, sorted."""
    from botlib.indicators import library
    from botlib.indicators.formulas import CORE

    return tuple(sorted({*CORE, *library.names()}))


def _call(spec: object) -> tuple[str, list[object], dict[str, object]]:
    example = "Write it as a call: 'ema(20)', 'bbands(20, 2)', 'sma(10, source=high)'."
    if not isinstance(spec, str):
        raise InvalidInput(
            f"An indicator is a text, not {spec!r} ({type(spec).__name__}). {example}"
        )
    try:
        tree = ast.parse(spec.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
            raise ValueError(spec)
        keywords: dict[str, object] = {}
        for keyword in tree.keywords:
            if keyword.arg is None:
                raise ValueError(spec)
            keywords[keyword.arg] = _literal(keyword.value)
        return tree.func.id, [_literal(node) for node in tree.args], keywords
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InvalidInput(f"Cannot read the indicator {spec!r}. {example}") from None


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.Name):
        return node.id
    value: object = ast.literal_eval(node)
    if not isinstance(value, (int, float, str, bool)):
        raise ValueError(value)
    return value


def _bind(
    definition: Definition, arguments: tuple[object, ...], keywords: Mapping[str, object]
) -> dict[str, object]:
    accepted = [one.name for one in definition.parameters]
    if len(arguments) > len(accepted):
        raise InvalidInput(
            f"{definition.name} takes at most {len(accepted)} values, not {len(arguments)}. "
            f"Accepted: {definition.usage}."
        )
    given = dict(zip(accepted, arguments, strict=False))
    for name, value in keywords.items():
        if name not in accepted:
            raise InvalidInput(
                f"{definition.name} has no parameter {name!r}. Accepted: {definition.usage}."
                f"{did_you_mean(name, accepted)}"
            )
        if name in given:
            raise InvalidInput(
                f"{definition.name} is given {name} twice: {given[name]!r} and {value!r}."
            )
        given[name] = value
    return given


def _value(definition: Definition, parameter: Parameter, value: object) -> Value | None:
    if value is None:
        return None
    kind = parameter.kind
    if hasattr(value, "item"):  # a numpy scalar, as a sweep hands them out
        value = value.item()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, kind):
        raise InvalidInput(
            f"{definition.name}: {parameter.name} must be {_KINDS[kind]}, not {value!r}. "
            f"Accepted: {definition.usage}."
        )
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise InvalidInput(f"{definition.name}: {parameter.name} must be finite, not {value!r}.")
    for bound, beyond in ((parameter.minimum, operator.lt), (parameter.maximum, operator.gt)):
        if bound is not None and beyond(value, bound):  # type: ignore[arg-type]
            word = "least" if bound is parameter.minimum else "most"
            raise InvalidInput(
                f"{definition.name}: {parameter.name} must be at {word} {bound:g}, not {value!r}."
            )
    return value  # type: ignore[return-value]


def _check_order(definition: Definition, values: Mapping[str, Value]) -> None:
    row = [(name, float(values[name])) for name in definition.ascending]
    for (low, first), (high, second) in pairwise(row):
        if first >= second:
            raise InvalidInput(
                f"{definition.name}: {low} must be below {high}, "
                f"not {low}={first:g}, {high}={second:g}."
            )


_KINDS: Final = {int: "a whole number", float: "a number", str: "a word", bool: "True or False"}


def _text(value: Value) -> str:
    return (
        repr(value)
        if isinstance(value, bool | int)
        else (f"{value:.12g}" if isinstance(value, float) else value)
    )
