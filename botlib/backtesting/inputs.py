"""The inputs of a backtest: candle frames, checked once, and the entries and exits on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.received import short
from botlib.core.timeframe import TIMEFRAMES, timeframe_ms
from botlib.frames import COLUMNS, Frames, open_times, resample
from botlib.frames.resampling import divides
from botlib.strategy import asked

if TYPE_CHECKING:
    import pandas as pd

    from botlib.strategy import Strategy

Flags = npt.NDArray[np.bool_]


def frames_for(
    strategy: Strategy, data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame], symbol: str = ""
) -> Frames:
    """Return the frames a strategy looks at, its trading timeframe first.

    A higher timeframe that was not given is built from the trading one. Frames in order are used as
    they are. A tz-aware index is converted to UTC and made naive, once; a column of
    another number type becomes float64.

    Args:
        data: frames, one candle frame, or candle frames by timeframe.

    Raises:
        InvalidInput: the trading timeframe is missing, or a frame has a wrong index or column,
            holds values that are not finite, is out of order, or is too short for the strategy's
            warm-up.
    """
    given = _by_timeframe(strategy, data)
    wanted = strategy.timeframes or tuple(given)
    trading = wanted[0]
    if trading not in given:
        raise InvalidInput(
            f"{type(strategy).__name__} trades {trading}; the candles given are of "
            f"{', '.join(given)}. Give a mapping from each timeframe to its candle frame."
        )
    checked = {name: checked_frame(given[name], name) for name in wanted if name in given}
    for timeframe in wanted:
        if timeframe not in checked:
            checked[timeframe] = resample(checked[trading], timeframe, base=trading)
    checked = {timeframe: checked[timeframe] for timeframe in wanted}
    rows, warmup = len(checked[trading]), strategy.warmup_of(trading)
    if rows < (least := max(warmup + 1, 2)):
        raise InvalidInput(
            f"{rows} candles of {trading} are too few for {strategy!r}: it needs "
            f"{warmup} to warm up and one to trade on. Load at least {least}."
        )
    if isinstance(data, Frames) and tuple(data) == wanted:
        if all(checked[timeframe] is data[timeframe] for timeframe in wanted):
            return data  # including the indicators it has computed
    return Frames(symbol or getattr(data, "symbol", ""), checked)


def entries_and_exits(strategy: Strategy, data: Frames) -> tuple[Flags, Flags]:
    """Return the entry and exit signals of each candle of the trading frame that are acted on.

    If both are true the exit wins; signals of the warm-up are left out. A signal is acted on at the
    open of the next candle: see `next_open`.

    Raises:
        ConfigError: the signals do not lie on the frame's index or are not boolean.
    """
    signals = asked(strategy, data)
    entry = signals.entry.to_numpy(dtype=bool, copy=True)
    leave = signals.exit.to_numpy(dtype=bool, copy=True)
    unknown = max(strategy.warmup_of(data.timeframes[0]) - 1, 0)
    entry[:unknown] = False
    leave[:unknown] = False
    entry &= ~leave
    return entry, leave


def next_open(flags: Flags) -> Flags:
    """Return signals moved to the candle at whose open they are acted on; the last drops out."""
    moved = np.zeros_like(flags)
    moved[1:] = flags[:-1]
    return moved


def checked_frame(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return a checked candle frame: the same object if nothing had to be converted.

    Raises:
        InvalidInput: index, columns or values cannot be used; the message says which and why.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InvalidInput(
            f"Candles of {timeframe} must be a pandas DataFrame, not {type(frame).__name__}."
        )
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex):
        raise InvalidInput(
            f"Candles of {timeframe} have an index of {index.dtype}, not of open times. "
            "Use frame.set_index(pd.to_datetime(frame['timestamp'], unit='ms'))."
        )
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InvalidInput(
            f"Candles of {timeframe} lack {', '.join(missing)}. "
            f"Needed: {', '.join(COLUMNS)}; given: {', '.join(map(str, frame.columns))}."
        )
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    _check_times(index, timeframe)
    _check_values(frame, index, timeframe)
    if index is frame.index and all(frame[name].dtype == np.float64 for name in COLUMNS):
        return frame
    changed = frame.astype({name: np.float64 for name in COLUMNS})
    changed.index = index
    return changed


def in_timeframes(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    timeframes: Sequence[str] | str | None,
) -> Frames | pd.DataFrame | Mapping[str, pd.DataFrame]:
    """Return candles by the timeframes that a strategy which names none is to look at.

    Args:
        timeframes: the trading one first; None leaves the candles as they are.

    Raises:
        ConfigError: the strategy names other timeframes.
        InvalidInput: the candles of the trading one are missing.
    """
    if timeframes is None:
        return data
    wanted = (timeframes,) if isinstance(timeframes, str) else tuple(timeframes)
    if strategy.timeframes and tuple(strategy.timeframes) != wanted:
        raise ConfigError(
            f"{strategy.__name__} looks at {', '.join(strategy.timeframes)}, not at "
            f"{', '.join(wanted)}. Leave out timeframes=, or let the class name none."
        )
    given = _mapping(data) if isinstance(data, Mapping) else {_timeframe_of(data): data}
    for timeframe in wanted:
        timeframe_ms(timeframe)
        if timeframe not in given:
            base = next((name for name in given if divides(name, timeframe)), None)
            if base is None:
                raise InvalidInput(
                    f"There are no candles to build {timeframe} from; given are {', '.join(given)}."
                )
            frame = checked_frame(given[base], base)
            given[timeframe] = resample(frame, timeframe, base=base)
    return {name: given[name] for name in wanted}


def _by_timeframe(
    strategy: Strategy, data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    if isinstance(data, Mapping):
        return _mapping(data)
    timeframe = strategy.timeframes[0] if strategy.timeframes else _timeframe_of(data)
    return {timeframe: data}


def _mapping(data: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return frames by timeframe, after checking that the keys are timeframes.

    Raises:
        InvalidInput: there are none, or a key is something else, such as a symbol.
    """
    if not data:
        raise InvalidInput("No candles were given: the mapping of timeframes is empty.")
    for key in data:
        if isinstance(key, str) and key in TIMEFRAMES:
            continue
        hint = ""
        if isinstance(key, str) and "/" in key:
            hint = f" One call takes one symbol: give data[{key!r}], and symbol={key!r} beside it."
        raise InvalidInput(
            f"The key {short(key)} of the candles is no timeframe. Accepted: candle frames by "
            f"timeframe, such as {{'1h': frame, '4h': frame}}.{hint}"
        )
    return dict(data)


def _timeframe_of(frame: pd.DataFrame) -> str:
    """Return the timeframe whose length is the smallest step between candles."""
    try:
        times = open_times(frame.index)
    except (TypeError, ValueError, AttributeError):
        return "1m"  # The check that follows reports the wrong index.
    steps = np.diff(times)
    step = int(steps[steps > 0].min()) if (steps > 0).any() else 0
    for timeframe, length in TIMEFRAMES.items():
        if length == step:
            return timeframe
    raise InvalidInput(
        f"The candles are {step} ms apart, which is no timeframe. Accepted: "
        f"{', '.join(TIMEFRAMES)}. Give the strategy its timeframes=(...,) or repair the index."
    )


def _check_times(index: pd.DatetimeIndex, timeframe: str) -> None:
    if index.hasnans:
        raise InvalidInput(f"The index of the {timeframe} candles holds NaT.")
    times, length = open_times(index), timeframe_ms(timeframe)
    steps = np.diff(times)
    wrong = np.flatnonzero(steps < length)
    if not len(wrong):
        _check_usual_step(steps, timeframe, length)
        return
    place = int(wrong[0])
    here, there = index[place], index[place + 1]
    if steps[place] == 0:
        raise InvalidInput(f"The {timeframe} candle of {here} is there twice. Drop duplicates.")
    if steps[place] < 0:
        raise InvalidInput(
            f"The {timeframe} candles are out of order: {there} follows {here}. "
            "Use frame.sort_index()."
        )
    raise InvalidInput(
        f"Candles at {here} and {there} are closer than {timeframe}. "
        "Give the timeframe they are of."
    )


def _check_usual_step(steps: npt.NDArray[np.int64], timeframe: str, length: int) -> None:
    """Check that candles are usually one timeframe apart; holes are longer steps, and rare."""
    if not len(steps) or np.count_nonzero(steps == length) * 2 >= len(steps):
        return
    found, counts = np.unique(steps, return_counts=True)
    usual = int(found[np.argmax(counts)])  # The shortest of those that are equally frequent.
    if usual == length:
        return
    name = next((one for one, span in TIMEFRAMES.items() if span == usual), f"{usual} ms")
    raise InvalidInput(
        f"The candles given as {timeframe} are usually {name} apart, so they are of another "
        f"timeframe. Give the strategy timeframes of what they are, or load candles of {timeframe}."
    )


def _check_values(frame: pd.DataFrame, index: pd.DatetimeIndex, timeframe: str) -> None:
    for name in COLUMNS:
        try:
            values = frame[name].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInput(
                f"Column {name} of the {timeframe} candles is of type {frame[name].dtype}, "
                "not numbers."
            ) from None
        # A sum is finite only if every value is: one pass without a mask for the usual case.
        if np.isfinite(values.sum()) and (name == "volume" or values.min(initial=1.0) > 0):
            continue
        bad = ~np.isfinite(values) if name == "volume" else ~(np.isfinite(values) & (values > 0))
        if bad.any():
            place = int(np.argmax(bad))
            raise InvalidInput(
                f"{name} of the {timeframe} candle at {index[place]} is {values[place]}, and "
                f"{int(bad.sum()) - 1} more like it. Leave out what is missing: a hole is no error."
            )
