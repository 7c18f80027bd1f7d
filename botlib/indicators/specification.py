"""Specifications of indicators: ``"ema(20)"`` means the same in a chart, a strategy and the engine.

A specification is a call: a name, then numbers in the order of the indicator's parameters or by
keyword, and for indicators of one price column ``source=``::

    ema(20)   bbands(20, 2)   macd(12, 26, signal=9)   sma(10, source=high)   atr
"""

from __future__ import annotations

import ast
import copyreg
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.received import short
from botlib.indicators.record import SOURCE, Indicator, IndicatorRecord, Parameter, Value
from botlib.indicators.registry import find

SOURCES: Final = ("open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4")
"""What ``source=`` accepts: a column of the candles, or the mean of several prices."""


def parse(spec: str | Indicator) -> Indicator:
    """Parse a specification such as ``"ema(20)"``.

    Raises:
        InvalidInput: it is no call, names no indicator, or has values that are not accepted.
    """
    if isinstance(spec, Indicator):
        return spec
    return _known(spec) if isinstance(spec, str) else _read(spec)


@lru_cache(maxsize=1_000)
def _known(spec: str) -> Indicator:
    # A strategy parses the same ones at every candle.
    return _read(spec)


def _read(spec: object) -> Indicator:
    name, arguments, keywords = _call(spec)
    return indicator(name, *arguments, **keywords)


def indicator(name: str, /, *arguments: object, **keywords: object) -> Indicator:
    """Return an indicator by its name and parameters, as `parse` does from a text.

    Raises:
        InvalidInput: there is no such indicator, or it does not accept these values.
    """
    record = find(name)
    source = keywords.pop("source", "close")
    if record.inputs != SOURCE and source != "close":
        raise InvalidInput(
            f"{name} takes no source: it reads {', '.join(record.inputs)}. "
            f"Accepted: {record.usage}."
        )
    if source not in SOURCES:
        raise InvalidInput(
            f"Cannot use {source!r} as the source of {name}. Accepted: {', '.join(SOURCES)}."
            f"{did_you_mean(str(source), SOURCES)}"
        )
    given = _bind(record, arguments, keywords)
    values = tuple(
        (one.name, value)
        for one in record.parameters
        if (value := _value(record, one, given.get(one.name, one.default))) is not None
    )
    _check_order(record, dict(values))
    return Indicator(record, values, str(source))


def _reduced(indicator: Indicator) -> tuple[Callable[..., Indicator], tuple[Any, ...]]:
    return _restored, (indicator.name, indicator.values, indicator.source)


def _restored(name: str, values: tuple[tuple[str, Value], ...], source: str) -> Indicator:
    return Indicator(find(name), values, source)


# A record holds functions and is compared by identity, so that a copy of an indicator, as another
# process receives it, gets the record from the registry again.
copyreg.pickle(Indicator, _reduced)


def _call(spec: object) -> tuple[str, list[object], dict[str, object]]:
    example = "Write it as a call: 'ema(20)', 'bbands(20, 2)', 'sma(10, source=high)'."
    if not isinstance(spec, str):
        raise InvalidInput(f"An indicator is a text, not {short(spec)}. {example}")
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
    record: IndicatorRecord, arguments: tuple[object, ...], keywords: Mapping[str, object]
) -> dict[str, object]:
    accepted = [one.name for one in record.parameters]
    if len(arguments) > len(accepted):
        raise InvalidInput(
            f"{record.name} takes at most {len(accepted)} values, not {len(arguments)}. "
            f"Accepted: {record.usage}."
        )
    given = dict(zip(accepted, arguments, strict=False))
    for name, value in keywords.items():
        if name not in accepted:
            raise InvalidInput(
                f"{record.name} has no parameter {name!r}. Accepted: {record.usage}."
                f"{did_you_mean(name, accepted)}"
            )
        if name in given:
            raise InvalidInput(
                f"{record.name} is given {name} twice: {given[name]!r} and {value!r}."
            )
        given[name] = value
    return given


def _value(record: IndicatorRecord, parameter: Parameter, value: object) -> Value | None:
    if value is None:
        return None
    kind = parameter.kind
    if hasattr(value, "item"):  # a numpy scalar, as a sweep passes them
        value = value.item()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, kind):
        raise InvalidInput(
            f"{record.name}: {parameter.name} must be {_KINDS[kind]}, not {value!r}. "
            f"Accepted: {record.usage}."
        )
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise InvalidInput(f"{record.name}: {parameter.name} must be finite, not {value!r}.")
    for bound, beyond in ((parameter.minimum, operator.lt), (parameter.maximum, operator.gt)):
        if bound is not None and beyond(value, bound):  # type: ignore[arg-type]
            word = "least" if bound is parameter.minimum else "most"
            raise InvalidInput(
                f"{record.name}: {parameter.name} must be at {word} {bound:g}, not {value!r}."
            )
    return value  # type: ignore[return-value]


def _check_order(record: IndicatorRecord, values: Mapping[str, Value]) -> None:
    row = [(name, float(values[name])) for name in record.ascending]
    for (low, first), (high, second) in pairwise(row):
        if first >= second:
            raise InvalidInput(
                f"{record.name}: {low} must be below {high}, "
                f"not {low}={first:g}, {high}={second:g}."
            )


_KINDS: Final = {int: "a whole number", float: "a number", str: "a word", bool: "True or False"}
