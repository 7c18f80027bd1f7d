"""Strategies: typed class attributes as parameters, candle frames in, signals out.

The same object serves the backtest, the replay, paper and live trading, so it is pure: it receives
frames of closed candles and returns boolean columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from botlib.core.errors import ConfigError, did_you_mean
from botlib.core.received import short
from botlib.core.text import formats
from botlib.core.text.masking import masked
from botlib.core.timeframe import timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.frames import Frames


STOPS: Final = ("stop_loss", "take_profit", "trailing_stop")
"""The parameters of every strategy that limit a position: fractions above 0 and below 1."""


def strategy_object(given: object, what: str) -> Strategy:
    """Return a strategy after checking that it is one, and no class.

    Args:
        what: the call that it was given to, for the message.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(given, Strategy):
        return given
    if isinstance(given, type) and issubclass(given, Strategy):
        name = given.__name__
        raise ConfigError(
            f"{what} takes a strategy with its parameters, not the class {name}. "
            f"Make one: {name}(timeframes={tuple(given.timeframes) or ('1h',)!r})."
        )
    raise ConfigError(
        f"{what} takes a strategy such as bl.TrendCross(fast=10, slow=30), not {short(given)}."
    )


def strategy_class(given: object, what: str) -> type[Strategy]:
    """Return the class of a strategy after checking that it is one, and no object.

    Args:
        what: the call that it was given to, for the message.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(given, type) and issubclass(given, Strategy):
        return given
    if isinstance(given, Strategy):
        name = type(given).__name__
        values = ", ".join(f"{key}={value!r}" for key, value in given.parameters.items())
        raise ConfigError(
            f"{what} takes the class {name}, since it makes the strategies itself, not one of "
            f"them. Pass {name}, and its parameters with the values to try; this one has {values}."
        )
    raise ConfigError(
        f"{what} takes the class of a strategy such as bl.TrendCross, not {short(given)}."
    )


def asked(strategy: Strategy, data: Frames) -> Signals:
    """Return the signals of a strategy, after checking that they can be used.

    Raises:
        ConfigError: they are no `Signals`, not on the index of the frame, or not boolean.
        Exception: what the strategy raised.
    """
    signals = strategy.signals(data)
    if not isinstance(signals, Signals):
        raise ConfigError(
            f"{type(strategy).__name__}.signals() must return Signals(entry=..., exit=...), "
            f"not {type(signals).__name__}."
        )
    signals.check(data.index)
    return signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Entry and exit signals: boolean columns on the index of the trading frame.

    A signal is acted on at the open of the next candle. If entry and exit are both true on a
    candle, the exit wins.
    """

    entry: pd.Series
    exit: pd.Series

    def __new__(cls, *columns: object, **named: object) -> Self:
        """Create signals, after checking the names that are given."""
        fields = cls.__dataclass_fields__
        accepted = (
            f"Accepted: Signals({', '.join(f'{name}=...' for name in fields)}), boolean columns on "
            "the index of data.frame."
        )
        if columns:
            raise ConfigError(
                f"Signals takes its columns by name, not {short(columns[0])}. {accepted}"
            )
        for name in named:
            if name not in fields:
                raise ConfigError(
                    f"Signals has no column {name!r}. {accepted}{did_you_mean(name, fields)}"
                )
        missing = [
            name for name, field in fields.items() if field.default is MISSING and name not in named
        ]
        # Neither copy nor pickle gives a name.
        if named and missing:
            raise ConfigError(f"Signals lacks {', '.join(missing)}. {accepted}")
        return object.__new__(cls)

    def check(self, index: pd.Index) -> None:
        """Check that both columns are boolean and on the index of the trading frame.

        Raises:
            ConfigError: one of them is not.
        """
        import pandas as pd

        for name, column in (("entry", self.entry), ("exit", self.exit)):
            if not isinstance(column, pd.Series):
                raise ConfigError(
                    f"Signals.{name} must be a pandas Series on the index of data.frame, "
                    f"not {type(column).__name__}."
                )
            if not column.index.equals(index):
                raise ConfigError(
                    f"Signals.{name} has {len(column)} rows that are not those of the trading "
                    f"frame ({len(index)} rows). Compute it from data.frame, or use data.align()."
                )
            if column.dtype != bool:
                raise ConfigError(
                    f"Signals.{name} has the type {column.dtype}, not bool. "
                    "Use a comparison, and fillna(False) where a value may be missing."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The candles from which a strategy has learned.

    Attributes:
        first, last: open times of the first and the last one.
        candles: how many of the trading timeframe.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    candles: int

    def __str__(self) -> str:
        return f"{formats.count(self.candles)} candles from {self.first} to {self.last}"


class Strategy:
    """The base class of all strategies.

    A whole one, which enters above the highest price of the candles before::

        import botlib as bl

        class Breakout(bl.Strategy):
            timeframes = ("15m",)  # it trades the first; higher ones may follow
            length: int = 20  # a parameter, since it has a type
            stop_loss = 0.03  # rests at the venue from the fill of an entry on

            @property
            def warmup(self):
                return self.length + 1  # candles before the first signal that can be right

            def signals(self, data):
                candles = data.frame  # of the first timeframe, closed candles only
                highest = candles["high"].rolling(self.length).max().shift()
                lowest = candles["low"].rolling(self.length).min().shift()
                return bl.Signals(
                    entry=candles["close"] > highest, exit=candles["close"] < lowest
                )

    ``Breakout(length=50)`` makes one. ``data["4h"]`` is the frame of a higher timeframe and
    ``data.align()`` joins it, ``data.indicator("rsi(14)")`` computes an indicator. A signal on the
    last candle is acted on at the open of the next one, in a backtest and live. It keeps nothing
    between two calls: `bl.check` finds out if it looks ahead or repaints. ``botlib new strategy``
    writes such a file, and a test for it.

    Every strategy also has ``stop_loss``, ``take_profit`` and ``trailing_stop``.
    """

    timeframes: ClassVar[tuple[str, ...]] = ()
    """The trading timeframe, then the higher ones it reads; they can be set per object."""

    stop_loss: float | None = None
    """Fraction below the entry price at which the position is sold."""

    take_profit: float | None = None
    """Fraction above the entry price at which the position is sold; above 1 is allowed.

    It rests at the venue as a limit order, in one list with the stop, and is filled at its price
    inside the candle: in a backtest, in a replay and live."""

    trailing_stop: float | None = None
    """Fraction below the highest high of the candles that closed since the entry (at first, below
    the entry price) at which the position is sold."""

    training: ClassVar[Training | None] = None
    """The candles from which the object has learned, None if from none; `fitted` sets it."""

    train_candles: ClassVar[int] = 0
    """Candles from which a bot has a strategy with `fit` learn, the newest ones."""

    refit_every: ClassVar[int] = 0
    """Candles after which a bot has it learn again; 0 is never."""

    _known_parameters: ClassVar[Mapping[str, object]]

    def __init__(
        self,
        *values: object,
        timeframes: tuple[str, ...] | str | None = None,
        **parameters: object,
    ) -> None:
        accepted = self._parameter_types()
        name_of = type(self).__name__
        if values:
            named = ", ".join(
                f"{key}={value!r}" for key, value in zip(accepted, values, strict=False)
            )
            raise ConfigError(f"The parameters of {name_of} are given by name: {name_of}({named}).")
        for name, value in parameters.items():
            if name not in accepted:
                raise ConfigError(self._unknown(name, accepted))
            setattr(self, name, _checked(name_of, name, value, accepted[name]))
        for name in STOPS:
            value = getattr(self, name)
            if value is not None and not (0 < value and (value < 1 or name == "take_profit")):
                raise ConfigError(
                    f"{name_of}.{name} is a fraction of the price above 0 and below 1 "
                    f"(0.02 is 2 %) or None, not {value!r}."
                )
        if timeframes is not None:
            given = (timeframes,) if isinstance(timeframes, str) else tuple(timeframes)
            self.timeframes = given  # type: ignore[misc]
        lengths = [timeframe_ms(timeframe) for timeframe in self.timeframes]
        if any(length <= lengths[0] for length in lengths[1:]):
            raise ConfigError(
                f"{name_of} trades {self.timeframes[0]}, the first of its timeframes; the others "
                f"must be higher, not {', '.join(self.timeframes[1:])}."
            )

    @property
    def warmup(self) -> int:
        """Candles needed before the first valid signal, counted in each of its timeframes."""
        return 0

    def warmup_of(self, timeframe: str) -> int:
        """Return the candles of one of its timeframes that are needed before the first signal.

        By default `warmup` for each. A strategy that needs fewer of a higher timeframe says so
        here, and no more of them are loaded: 800 candles of 4h are 133 days.

        Args:
            timeframe: one of `timeframes`.
        """
        return self.warmup

    def signals(self, data: Frames) -> Signals:
        """Return the signals of every candle of ``data.frame``."""
        raise TypeError(f"{type(self).__name__} does not define signals(self, data).")

    def fit(self, train: Frames) -> None:
        """Learn from candles and keep on ``self`` what was learned; by default nothing.

        What is learned is no parameter: it goes into an attribute that the class does not annotate.

        A strategy with a model defines it, and uses the model in `signals`. It is called once, on
        a new object, with the candles of the training side only: by a walk forward for every
        window, by a cross-validation for every split, and by a bot as `train_candles` and
        `refit_every` say. A label that looks ahead is right here, as far as ``purge`` reaches.

        Args:
            train: closed candles; a cross-validation leaves a hole where it tests.
        """

    @property
    def learns(self) -> bool:
        """Whether it defines `fit`, and has to learn before it can be asked."""
        return type(self).fit is not Strategy.fit

    def fitted(self, train: Frames) -> Self:
        """Return a new strategy with the same parameters that has learned from candles.

        Args:
            train: such as ``lab.frames("BTC/USDT", ["1h"], until="2024-06-30")``.

        Raises:
            ConfigError: they are no frames, or no candle is in them.
        """
        from botlib.frames import Frames

        if not isinstance(train, Frames) or not len(train.index):
            what = "no candles" if isinstance(train, Frames) else f"a {type(train).__name__}"
            raise ConfigError(
                f"{type(self).__name__} learns from frames of closed candles, not from {what}. "
                "lab.frames(symbol, timeframes, until=...) returns some."
            )
        named: dict[str, Any] = {**self.parameters, "timeframes": self.timeframes or None}
        fresh = type(self)(**named)
        fresh.fit(train)
        index = train.index
        fresh.training = Training(  # type: ignore[misc]
            first=index[0], last=index[-1], candles=len(index)
        )
        return fresh

    @property
    def parameters(self) -> dict[str, object]:
        """Every parameter with its value."""
        return {name: getattr(self, name) for name in self._parameter_types()}

    def __repr__(self) -> str:
        changed = ", ".join(
            f"{name}={value!r}"
            for name, value in self.parameters.items()
            if not same_value(value, getattr(type(self), name))
        )
        return masked(f"{type(self).__name__}({changed})")

    @classmethod
    def _parameter_types(cls) -> Mapping[str, object]:
        # Reading annotations is slow, and a sweep makes thousands of strategies. A subclass has
        # parameters of its own, so those of its base are not used.
        known: Mapping[str, object] | None = cls.__dict__.get("_known_parameters")
        if known is None:
            known = cls._known_parameters = cls._read_parameter_types()
        return known

    @classmethod
    def _read_parameter_types(cls) -> Mapping[str, object]:
        hints = get_type_hints(cls)
        own = [name for name in hints if name not in STOPS]
        return {
            name: hints[name]
            for name in (*own, *STOPS)
            if not name.startswith("_")
            and ClassVar not in (hints[name], get_origin(hints[name]))
            and hasattr(cls, name)
        }

    @classmethod
    def _unknown(cls, name: str, accepted: Mapping[str, object]) -> str:
        if name in get_type_hints(cls) and not name.startswith("_") and not hasattr(cls, name):
            return f"{cls.__name__}.{name} has no default. Write it as {name}: int = 10."
        if not name.startswith("_") and isinstance(getattr(cls, name, None), (int, float, str)):
            return (
                f"{cls.__name__}.{name} has no type, so it is no parameter. "
                f"Write it as {name}: {type(getattr(cls, name)).__name__} = "
                f"{getattr(cls, name)!r}."
            )
        return (
            f"{cls.__name__} has no parameter {name!r}. "
            f"Accepted: {', '.join(accepted)}.{did_you_mean(name, accepted)}"
        )


def _checked(strategy: str, name: str, value: object, kind: object) -> object:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if not all(isinstance(one, type) for one in kinds):
        return value
    if value is None and NoneType in kinds:
        return None
    if float in kinds and int not in kinds and _is_number(value):
        return float(value)  # type: ignore[arg-type]
    if int in kinds and _is_whole(value):
        return int(value)  # type: ignore[call-overload]
    fits = isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
    if not fits:
        accepted = " or ".join("None" if one is NoneType else one.__name__ for one in kinds)
        raise ConfigError(f"{strategy}.{name} must be {accepted}, not {short(value)}.")
    return value


def same_value(value: Any, other: Any) -> bool:
    """Return whether two values of a parameter are equal; arrays are if all elements are."""
    if value is other:
        return True
    try:
        return bool(value == other)
    except ValueError:
        from numpy import array_equal

        return type(value) is type(other) and array_equal(value, other)


def _is_whole(value: object) -> bool:
    """Return whether a value is an integer, numpy's included, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
