"""The benchmark of a tear sheet: buy and hold, another result, or any series of prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.core.errors import InvalidInput
from botlib.core.received import refused, short

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.result import BacktestResult

_ACCEPTED: Final = (
    "a pandas Series of prices or of equity with a DatetimeIndex (UTC), the result of another "
    "backtest, or None for buy and hold"
)


def benchmark_values(given: object, result: BacktestResult) -> tuple[str, pd.Series, float]:
    """Return the name of a benchmark, its value at every candle, and its value before the first.

    Args:
        given: a series, another result, or None for buy and hold.
        result: the result that it stands beside.

    Raises:
        InvalidInput: it is something else, or has no value within the candles of the result.
    """
    import pandas as pd

    closes = result.frame["close"]
    if given is None:
        return f"hold {result.symbol}".strip(), closes, float(closes.iloc[0])
    equity: Any = getattr(given, "equity", None)
    if isinstance(equity, pd.Series):
        name, series = str(getattr(given, "strategy", "benchmark")), equity
        start = float(getattr(given, "cash", None) or equity.iloc[0])
    elif isinstance(given, pd.Series):
        name = "benchmark" if given.name is None else str(given.name)
        series, start = given, float("nan")
    else:
        raise refused("benchmark", given, _ACCEPTED)
    values = _on(pd.DatetimeIndex(result.frame.index), series)
    return name, values, start if np.isfinite(start) else float(values.iloc[0])


def _on(index: pd.DatetimeIndex, series: pd.Series) -> pd.Series:
    """Return the values of a series at the times of an index: the last one known at each."""
    import pandas as pd

    if not isinstance(series.index, pd.DatetimeIndex) or not pd.api.types.is_numeric_dtype(series):
        raise InvalidInput(
            f"benchmark is {short(series)} with the index {type(series.index).__name__}. "
            f"Accepted: {_ACCEPTED}."
        )
    times = series.index
    naive = times.tz_convert("UTC").tz_localize(None) if times.tz is not None else times
    known = series.set_axis(naive).dropna().astype(np.float64)
    known = known[~known.index.duplicated(keep="last")].sort_index()
    values = known.reindex(known.index.union(index)).ffill().reindex(index)
    inside = values.dropna()
    if not len(inside) or not (inside > 0).all():
        span = f"{known.index[0]} to {known.index[-1]}" if len(known) else "no time at all"
        raise InvalidInput(
            f"benchmark has no values above 0 within the candles, {index[0]} to {index[-1]}: it "
            f"covers {span}. Accepted: {_ACCEPTED}."
        )
    return values.bfill()
