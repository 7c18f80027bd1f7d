"""The indicators of pandas-ta-classic, under botlib's rules.

None may look ahead: one that would is either computed without the part that does, or refused. Nor
may an indicator be shifted or filled backwards, or receive a value that the library would silently
replace by its default.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

import numpy as np

from botlib.core.errors import InvalidInput
from botlib.indicators.record import (
    SOURCE,
    UNKNOWN_SCALE,
    Array,
    Drawing,
    Indicator,
    IndicatorRecord,
    Parameter,
)
from botlib.indicators.sample import sample

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS: Final = {
    "open_": "open",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
}

_HIDDEN: Final = frozenset(
    {"offset", "talib", "kwargs", "centered", "include_chikou", "as_dataframe", "append_span"}
)
"""Parameters that are not offered: they shift results, or choose another implementation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adjustment:
    """Facts about an indicator that the library does not expose.

    Attributes:
        refused: why it is not offered; empty if it is.
        fixed: arguments that keep it from looking ahead.
        outputs: readable names of its columns; empty to derive them from the library's names.
        anchored, settles, drawing: as in `IndicatorRecord`.
    """

    refused: str = ""
    fixed: Mapping[str, object] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    anchored: bool = False
    settles: bool = True
    drawing: Drawing = UNKNOWN_SCALE


_PLAIN: Final = _Adjustment()
_BAND: Final = _Adjustment(outputs=("lower", "middle", "upper"))
_TWO_MARKETS: Final = _Adjustment(refused="it compares two markets")
_TWO_SERIES: Final = _Adjustment(refused="it takes two computed series")
_SIGNALS: Final = _Adjustment(refused="it takes computed signals")
_OSCILLATOR: Final = _Adjustment(outputs=("k", "d"))
_DAILY: Final = _Adjustment(anchored=True)

_ADJUSTMENTS: Final[dict[str, _Adjustment]] = {
    "accbands": _BAND,
    "adx": _Adjustment(outputs=("adx", "plus", "minus"), drawing=Drawing(levels=(25.0,))),
    "adxr": _Adjustment(outputs=("adxr", "plus", "minus")),
    "aroon": _Adjustment(outputs=("down", "up", "oscillator")),
    "beta": _TWO_MARKETS,
    "cci": _Adjustment(drawing=Drawing(levels=(-100.0, 100.0))),
    "correl": _TWO_MARKETS,
    "cpr": _DAILY,
    "dm": _Adjustment(outputs=("plus", "minus")),
    "dpo": _Adjustment(fixed={"centered": False}),
    # It only seems to settle while the synthetic market makes new highs.
    "drawdown": _Adjustment(settles=False),
    "fisher": _Adjustment(outputs=("fisher", "signal")),
    "ichimoku": _Adjustment(
        fixed={"include_chikou": False, "as_dataframe": True, "append_span": False},
        outputs=("span_a", "span_b", "conversion", "base"),
    ),
    "kc": _BAND,
    "kst": _Adjustment(outputs=("kst", "signal")),
    "long_run": _TWO_SERIES,
    "ma": _Adjustment(refused="it is another way to write sma, ema and the others"),
    "macdext": _Adjustment(outputs=("macd", "signal", "histogram")),
    "macdfix": _Adjustment(outputs=("macd", "histogram", "signal")),
    "mavp": _Adjustment(refused="it takes a computed series of lengths"),
    "mfi": _Adjustment(drawing=Drawing(levels=(20.0, 80.0))),
    "ppo": _Adjustment(outputs=("ppo", "histogram", "signal")),
    "psar": _Adjustment(
        outputs=("long", "short", "acceleration", "reversal"),
        drawing=Drawing(outputs=("long", "short")),
    ),
    "pvo": _Adjustment(outputs=("pvo", "histogram", "signal")),
    "short_run": _TWO_SERIES,
    "stochf": _OSCILLATOR,
    "stochrsi": _Adjustment(outputs=("k", "d"), drawing=Drawing(levels=(20.0, 80.0))),
    "supertrend": _Adjustment(
        outputs=("line", "direction", "long", "short"),
        drawing=Drawing(outputs=("long", "short")),
    ),
    "tos_stdevall": _Adjustment(
        refused="it fits one line through the whole frame, so every value knows the future"
    ),
    "trix": _Adjustment(outputs=("trix", "signal")),
    "tsi": _Adjustment(outputs=("tsi", "signal")),
    "tsignals": _SIGNALS,
    "vortex": _Adjustment(outputs=("plus", "minus")),
    "vp": _Adjustment(refused="it gives one profile of the whole frame, not a value per candle"),
    "vwap": _DAILY,
    "vwmacd": _Adjustment(outputs=("macd", "histogram", "signal")),
    "xsignals": _SIGNALS,
}


@functools.cache
def module() -> Any:
    """Return pandas-ta-classic, imported on first use."""
    # At import it reads the time with a call that pandas deprecates.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Timestamp.dayofyear", DeprecationWarning)
        import pandas_ta_classic

    return pandas_ta_classic


@functools.cache
def names() -> frozenset[str]:
    """Return the names of all indicators of the library that can be used."""
    refused = {name for name, adjustment in _ADJUSTMENTS.items() if adjustment.refused}
    return frozenset(name for group in module().Category.values() for name in group) - refused


@functools.cache
def record(name: str) -> IndicatorRecord | None:
    """Return the record of an indicator of the library; None if there is none of that name.

    Raises:
        InvalidInput: it cannot be used without looking ahead, or not with candles alone.
    """
    adjustment = _ADJUSTMENTS.get(name, _PLAIN)
    if adjustment.refused:
        raise InvalidInput(
            f"The indicator {name!r} is not offered: {adjustment.refused}. Choose another one, "
            "or compute it in the strategy and test it for look-ahead."
        )
    if name not in names():
        return None
    required: list[str] = []
    optional: list[str] = []
    parameters: list[Parameter] = []
    for one in inspect.signature(_function(name)).parameters.values():
        if one.name in _COLUMNS:
            series = required if one.default is inspect.Parameter.empty else optional
            series.append(_COLUMNS[one.name])
        elif one.name not in _HIDDEN and (kind := _kind(one.annotation)) is not None:
            default = None if one.default is inspect.Parameter.empty else one.default
            parameters.append(Parameter(one.name, kind, default, _minimum(one.name, kind)))
    inputs = tuple(required or optional)
    return IndicatorRecord(
        name=name,
        inputs=SOURCE if inputs == ("close",) else inputs,
        parameters=tuple(parameters),
        outputs=None,
        anchored=adjustment.anchored,
        settles=adjustment.settles,
        drawing=adjustment.drawing,
    )


def compute(indicator: Indicator, inputs: tuple[Array, ...], index: pd.Index) -> Array:
    """Return an indicator of the library over columns.

    Args:
        inputs: one array for each input of its record.
        index: the open times.

    Returns:
        One row per candle, one column per output.
    """
    raw = _raw(indicator, inputs, index)
    if raw is None:
        return np.full((len(index), len(outputs(indicator))), np.nan)
    values: Array = raw.reindex(index).to_numpy(dtype=np.float64).reshape(len(index), -1)
    return values


@functools.lru_cache(maxsize=1024)
def outputs(indicator: Indicator) -> tuple[str, ...]:
    """Return the names of an indicator's columns, ``("",)`` if it gives a Series.

    A short frame gives no result to read them from, so they are read from a synthetic market.

    Raises:
        InvalidInput: the indicator has no value on it.
    """
    for size in (500, 5_000):
        columns, index = sample(indicator.record.inputs, size)
        raw = _raw(indicator, columns, index)
        if raw is not None and raw.ndim == 2:
            known = _ADJUSTMENTS.get(indicator.name, _PLAIN).outputs
            return known or _short([str(name) for name in raw.columns])
        if raw is not None:
            return ("",)
    raise InvalidInput(
        f"{indicator} gives no value in 5000 candles. Choose smaller parameters: "
        f"{indicator.record.usage}."
    )


def _function(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(module(), name)
    return function


def _kind(annotation: object) -> type | None:
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = {one for one in get_args(annotation) if one is not type(None)}
    else:
        kinds = {annotation}
    for kind in (float, int, bool, str):
        if kind in kinds:
            return kind
    return None


def _minimum(name: str, kind: type) -> float | None:
    # The library silently uses its default for a length it cannot use, such as 0.
    if kind is not int:
        return None
    return 0 if name == "ddof" or name.endswith("matype") else 1


def _raw(
    indicator: Indicator, inputs: tuple[Array, ...], index: pd.Index
) -> pd.Series | pd.DataFrame | None:
    import pandas as pd

    names = ("close",) if indicator.record.inputs == SOURCE else indicator.record.inputs
    function = _function(indicator.name)
    spelled = {_COLUMNS.get(name, name): name for name in inspect.signature(function).parameters}
    series = {
        spelled[name]: pd.Series(values, index=index, name=name)
        for name, values in zip(names, inputs, strict=True)
    }
    fixed = _ADJUSTMENTS.get(indicator.name, _PLAIN).fixed
    with np.errstate(all="ignore"):
        found = function(**series, **indicator.parameters, **fixed)
    if isinstance(found, (pd.Series, pd.DataFrame)) or found is None:
        return found
    raise InvalidInput(
        f"{indicator} gave {type(found).__name__}, not one value per candle. "
        "Choose other parameters."
    )


def _short(names: list[str]) -> tuple[str, ...]:
    """Return column names without their parameters: ``AROOND_14`` becomes ``aroond``."""
    short = [re.sub(r"(_-?\d+(\.\d+)?[a-z]?)+(?=_|$)", "", name).lower() for name in names]
    if len(set(short)) == len(short):
        return tuple(short)
    return tuple(re.sub(r"\W+", "_", name).lower() for name in names)
