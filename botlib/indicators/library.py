"""The indicators of pandas-ta-classic, held to the kit's rules.

None may look ahead: what would is either computed without the part that does, or refused. Nor may
an indicator be shifted, filled backwards, or take a value it would silently replace by its default.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

import numpy as np

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.timeframe import timeframe_ms
from botlib.indicators.formulas import CORE, Array
from botlib.indicators.specification import Definition, Indicator, Parameter

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

_UNUSABLE: Final = {
    "beta": "it compares two markets",
    "correl": "it compares two markets",
    "long_run": "it takes two computed series",
    "ma": "it is another way to write sma, ema and the others",
    "mavp": "it takes a computed series of lengths",
    "short_run": "it takes two computed series",
    "tos_stdevall": "it fits one line through the whole frame, so every value knows the future",
    "tsignals": "it takes computed signals",
    "vp": "it gives one profile of the whole frame, not a value per candle",
    "xsignals": "it takes computed signals",
}

# Parameters that are not offered: they shift results, or choose another implementation.
_HIDDEN: Final = frozenset(
    {"offset", "talib", "kwargs", "centered", "include_chikou", "as_dataframe", "append_span"}
)

# What keeps an indicator from looking ahead.
_FORCED: Final[dict[str, dict[str, object]]] = {
    "dpo": {"centered": False},
    "ichimoku": {"include_chikou": False, "as_dataframe": True, "append_span": False},
}


# Names for people; other columns keep the library's, less the parameters in them.
_OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "accbands": ("lower", "middle", "upper"),
    "adx": ("adx", "plus", "minus"),
    "adxr": ("adxr", "plus", "minus"),
    "aroon": ("down", "up", "oscillator"),
    "dm": ("plus", "minus"),
    "fisher": ("fisher", "signal"),
    "ichimoku": ("span_a", "span_b", "conversion", "base"),
    "kc": ("lower", "middle", "upper"),
    "kst": ("kst", "signal"),
    "macdext": ("macd", "signal", "histogram"),
    "macdfix": ("macd", "histogram", "signal"),
    "ppo": ("ppo", "histogram", "signal"),
    "psar": ("long", "short", "acceleration", "reversal"),
    "pvo": ("pvo", "histogram", "signal"),
    "stochf": ("k", "d"),
    "stochrsi": ("k", "d"),
    "supertrend": ("line", "direction", "long", "short"),
    "trix": ("trix", "signal"),
    "tsi": ("tsi", "signal"),
    "vortex": ("plus", "minus"),
    "vwmacd": ("macd", "histogram", "signal"),
}


@functools.cache
def names() -> frozenset[str]:
    """Return the names of all indicators of the library that can be used."""
    return frozenset(name for group in library().Category.values() for name in group) - {*_UNUSABLE}


@functools.cache
def define(name: str) -> Definition:
    """Return what is known of an indicator of the library.

    Raises:
        InvalidInput: there is none of that name, or it cannot be used without looking ahead.
    """
    if name in _UNUSABLE:
        raise InvalidInput(
            f"The indicator {name!r} is not offered: {_UNUSABLE[name]}. Choose another one, "
            "or compute it in the strategy and test it for look-ahead."
        )
    if name not in names():
        known = {*names(), *CORE}
        raise InvalidInput(
            f"There is no indicator {name!r}.{did_you_mean(name, known)} "
            f"Accepted: the {len(known)} names of botlib.indicators.names()."
        )
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
    return Definition(
        name, ("source",) if inputs == ("close",) else inputs, tuple(parameters), None
    )


def compute(
    indicator: Indicator, inputs: tuple[Array, ...], index: pd.Index
) -> pd.Series | pd.DataFrame:
    """Return an indicator of the library over columns.

    Args:
        inputs: one array for each of the definition's inputs.
        index: the index of the result.
    """
    import pandas as pd

    columns = outputs_of(indicator)
    raw = _raw(indicator, inputs, index)
    if raw is None:
        values = np.full((len(index), len(columns)), np.nan)
    else:
        values = raw.reindex(index).to_numpy(dtype=np.float64).reshape(len(index), -1)
    if columns == ("",):
        return pd.Series(values[:, 0], index=index, name=str(indicator))
    return pd.DataFrame(values, index=index, columns=list(columns))


def _function(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(library(), name)
    return function


@functools.cache
def library() -> Any:
    """Return pandas-ta-classic, imported on first use."""
    # It stamps the moment of its import with a call that pandas deprecates.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Timestamp.dayofyear", DeprecationWarning)
        import pandas_ta_classic

    return pandas_ta_classic


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
    # The library silently takes its default for a length it cannot use, such as 0.
    if kind is not int:
        return None
    return 0 if name == "ddof" or name.endswith("matype") else 1


def _raw(
    indicator: Indicator, inputs: tuple[Array, ...], index: pd.Index
) -> pd.Series | pd.DataFrame | None:
    import pandas as pd

    names = (
        ("close",) if indicator.definition.inputs == ("source",) else indicator.definition.inputs
    )
    function = _function(indicator.name)
    spelled = {_COLUMNS.get(name, name): name for name in inspect.signature(function).parameters}
    series = {
        spelled[name]: pd.Series(values, index=index, name=name)
        for name, values in zip(names, inputs, strict=True)
    }
    with np.errstate(all="ignore"):
        found = function(**series, **indicator.parameters, **_FORCED.get(indicator.name, {}))
    if isinstance(found, (pd.Series, pd.DataFrame)) or found is None:
        return found
    raise InvalidInput(
        f"{indicator} gave {type(found).__name__}, not one value per candle. "
        "Choose other parameters."
    )


@functools.lru_cache(maxsize=1024)
def outputs_of(indicator: Indicator) -> tuple[str, ...]:
    """Return the short names of an indicator's columns, ``("",)`` where it gives a Series.

    Too short a frame gives no result to read them from, so they are read from a made-up one.
    """
    for size in (500, 5_000):
        inputs, index = sample(indicator.definition.inputs, size)
        raw = _raw(indicator, inputs, index)
        if raw is not None and raw.ndim == 2:
            known = _OUTPUTS.get(indicator.name)
            return known or _short([str(name) for name in raw.columns])
        if raw is not None:
            return ("",)
    raise InvalidInput(
        f"{indicator} gives no value in 5000 candles. Choose smaller parameters: "
        f"{indicator.definition.usage}."
    )


def sample(
    inputs: tuple[str, ...], size: int, timeframe: str = "1h"
) -> tuple[tuple[Array, ...], pd.Index]:
    """Return made-up candle columns with their index: quiet and wild hours, gaps, equal prices."""
    import pandas as pd

    random = np.random.default_rng(0)
    step = 0.004 * (1.2 + np.sin(np.arange(size) / 40.0))
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 1, size) * step)), 2)
    open_ = np.concatenate([close[:1], close[:-1]]) * (1 + step * random.normal(0, 0.5, size))
    columns = {
        "source": close,
        "open": open_,
        "high": np.maximum(open_, close) * (1 + step * random.random(size)),
        "low": np.minimum(open_, close) * (1 - step * random.random(size)),
        "close": close,
        "volume": 1 + 10 * random.random(size),
    }
    opens = np.arange(size) * timeframe_ms(timeframe)
    index = pd.DatetimeIndex(opens.astype("datetime64[ms]"), name="timestamp")
    return tuple(columns[name] for name in inputs), index


def _short(names: list[str]) -> tuple[str, ...]:
    """Drop the parameters from column names: ``AROOND_14`` becomes ``aroond``."""
    short = [re.sub(r"(_-?\d+(\.\d+)?[a-z]?)+(?=_|$)", "", name).lower() for name in names]
    if len(set(short)) == len(short):
        return tuple(short)
    return tuple(re.sub(r"\W+", "_", name).lower() for name in names)
