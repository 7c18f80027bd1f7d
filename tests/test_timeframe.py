"""Timeframes, open times and durations."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.errors import InvalidInput, UnknownTimeframe
from botlib.timeframe import (
    DAY,
    HOUR,
    MINUTE,
    TIMEFRAMES,
    WEEK,
    is_open_time,
    open_time,
    parse_duration,
    timeframe_ms,
)

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
TIMES = st.integers(0, 4_102_444_800_000)


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_lengths_agree_with_the_names() -> None:
    for name, length in TIMEFRAMES.items():
        assert length == int(name[:-1]) * UNITS[name[-1]] * 1000
        assert timeframe_ms(name) == length
    assert list(TIMEFRAMES.values()) == sorted(TIMEFRAMES.values())


@pytest.mark.parametrize("name", ["7m", "1M", "1H", "", "60", 60, None, ["1m"]])
def test_an_unknown_timeframe_is_refused_with_what_is_accepted(name: object) -> None:
    with pytest.raises(UnknownTimeframe, match=r"Accepted: 1m, 3m, .* 1w\.") as caught:
        timeframe_ms(name)  # type: ignore[arg-type]
    assert repr(name) in str(caught.value)


def test_a_near_miss_is_guessed() -> None:
    with pytest.raises(UnknownTimeframe, match="Did you mean '15m'"):
        timeframe_ms("15min")


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [
        ("1m", ms(2026, 11, 21, 21, 16)),
        ("15m", ms(2026, 11, 21, 21, 15)),
        ("4h", ms(2026, 11, 21, 20)),
        ("1d", ms(2026, 11, 21)),
        ("1w", ms(2026, 11, 16)),
    ],
)
def test_open_times_lie_on_the_utc_time_line(timeframe: str, expected: int) -> None:
    assert open_time(ms(2026, 11, 21, 21, 16, 42), timeframe) == expected


def test_candles_of_three_days_open_where_binance_opens_them() -> None:
    # The first 3d candle of BTC/USDT, which was listed on 17 August 2017.
    assert open_time(ms(2017, 8, 17, 4), "3d") == ms(2017, 8, 16)


@given(TIMES, st.sampled_from(list(TIMEFRAMES)))
def test_every_moment_lies_in_the_candle_of_its_open_time(timestamp: int, timeframe: str) -> None:
    start = open_time(timestamp, timeframe)
    assert start <= timestamp < start + timeframe_ms(timeframe)
    assert is_open_time(start, timeframe)
    assert open_time(start, timeframe) == start
    assert is_open_time(timestamp, timeframe) == (timestamp == start)


@given(TIMES)
def test_weeks_open_on_mondays(timestamp: int) -> None:
    start = datetime.fromtimestamp(open_time(timestamp, "1w") / 1000, UTC)
    assert (start.weekday(), start.hour, start.minute) == (0, 0, 0)


def test_the_units_fit_together() -> None:
    assert (60 * MINUTE, 24 * HOUR, 7 * DAY) == (HOUR, DAY, WEEK)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (30, 30),
        (0.25, 0.25),
        ("30s", 30),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        (" 2 d ", 172_800),
        ("1w", 604_800),
        ("0s", 0),
    ],
)
def test_durations_are_read(value: float | str, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(
            -1,
            "-1s",
            "",
            " ",
            "30",
            "s",
            "1x",
            "1h and more",
            "1,5h",
            "1e3s",
            True,
            None,
            [],
            b"1s",
        ),
        *(float("nan"), float("inf"), "9" * 400 + "s"),
        pytest.param(10**400, id="beyond floats"),
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"as a duration\. Accepted: .*'1h 30m'"):
        parse_duration(value)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(list(UNITS))), min_size=1))
def test_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    text = " ".join(f"{count}{unit}" for count, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(count * UNITS[unit] for count, unit in parts))
