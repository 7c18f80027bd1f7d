"""Strategies: typed class attributes as parameters, whole frames in, signals out.

The same object serves the backtest, the replay, paper and live trading, so it is pure: it sees
frames of closed candles and answers with boolean columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, get_type_hints

from botlib.errors import ConfigError, did_you_mean
from botlib.timeframe import timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.frames import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Wishes per candle of the trading frame: boolean columns on its index.

    A wish is acted on at the open of the next candle. Where entry and exit are both true on a
    candle, the exit wins.
    """

    entry: pd.Series
    exit: pd.Series

    def check(self, frame: pd.DataFrame) -> None:
        """Raise `ConfigError` unless both columns lie on the frame's index, without holes."""
        for name, column in (("entry", self.entry), ("exit", self.exit)):
            if not column.index.equals(frame.index):
                raise ConfigError(
                    f"Signals.{name} has {len(column)} rows that are not those of the trading "
                    f"frame ({len(frame)} rows). Compute it from data.frame, or use data.align()."
                )
            if column.dtype != bool:
                raise ConfigError(
                    f"Signals.{name} has the type {column.dtype}, not bool. "
                    "Use a comparison, and fillna(False) where a value may be missing."
                )


class Strategy:
    """Base of all strategies.

    Class attributes with annotations are the parameters; ``TrendCross(fast=12)`` sets them::

        class TrendCross(Strategy):
            timeframes = ("1h",)
            fast: int = 10
            slow: int = 30

            def signals(self, data): ...
    """

    timeframes: ClassVar[tuple[str, ...]] = ()
    """The trading timeframe first, then the higher ones it looks at; may be given per object."""

    def __init__(self, *, timeframes: tuple[str, ...] | None = None, **parameters: object) -> None:
        accepted = self._parameter_types()
        for name, value in parameters.items():
            if name not in accepted:
                raise ConfigError(
                    f"{type(self).__name__} has no parameter {name!r}. "
                    f"Accepted: {', '.join(accepted) or 'none'}.{did_you_mean(name, accepted)}"
                )
            setattr(self, name, _checked(type(self).__name__, name, value, accepted[name]))
        if timeframes is not None:
            self.timeframes = tuple(timeframes)  # type: ignore[misc]
        for timeframe in self.timeframes:
            timeframe_ms(timeframe)

    @property
    def warmup(self) -> int:
        """Candles of the trading timeframe needed before a signal can be believed."""
        return 0

    def signals(self, data: Frames) -> Signals:
        """Return the signals of every candle of ``data.frame``."""
        raise TypeError(f"{type(self).__name__} does not define signals(self, data).")

    @property
    def parameters(self) -> dict[str, object]:
        """Every parameter with its value."""
        return {name: getattr(self, name) for name in self._parameter_types()}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{type(self).__name__}({values})"

    @classmethod
    def _parameter_types(cls) -> Mapping[str, object]:
        hints = get_type_hints(cls)
        return {
            name: kind
            for name, kind in hints.items()
            if not name.startswith("_") and name != "timeframes" and hasattr(cls, name)
        }


def _checked(strategy: str, name: str, value: object, kind: object) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise ConfigError(
            f"{strategy}.{name} must be {kind.__name__}, not {value!r} ({type(value).__name__})."
        )
    return value
