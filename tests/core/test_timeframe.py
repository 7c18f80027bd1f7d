"""Timeframes, open times and durations."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput, UnknownTimeframe
from botlib.core.timeframe import (
    DAY,
    HOUR,
    MINUTE,
    TIMEFRAMES,
    WEEK,
    is_open_time,
    open_time,
    parse_duration,
    parse_since,
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
def test_the_error_of_an_unknown_timeframe_lists_the_accepted_ones(name: object) -> None:
    with pytest.raises(UnknownTimeframe, match=r"Accepted: 1m, 3m, .* 1w\.") as caught:
        timeframe_ms(name)  # type: ignore[arg-type]
    assert repr(name) in str(caught.value)


def test_a_similar_timeframe_is_suggested() -> None:
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
def test_open_times_are_aligned_in_utc(timeframe: str, expected: int) -> None:
    assert open_time(ms(2026, 11, 21, 21, 16, 42), timeframe) == expected


def test_candles_of_three_days_open_where_binance_opens_them() -> None:
    # The first 3d candle of BTC/USDT, which was listed on 17 August 2017.
    assert open_time(ms(2017, 8, 17, 4), "3d") == ms(2017, 8, 16)


@given(TIMES, st.sampled_from(list(TIMEFRAMES)))
def test_every_timestamp_lies_in_the_candle_of_its_open_time(
    timestamp: int, timeframe: str
) -> None:
    start = open_time(timestamp, timeframe)
    assert start <= timestamp < start + timeframe_ms(timeframe)
    assert is_open_time(start, timeframe)
    assert open_time(start, timeframe) == start
    assert is_open_time(timestamp, timeframe) == (timestamp == start)


@given(TIMES)
def test_weeks_open_on_mondays(timestamp: int) -> None:
    start = datetime.fromtimestamp(open_time(timestamp, "1w") / 1000, UTC)
    assert (start.weekday(), start.hour, start.minute) == (0, 0, 0)


def test_the_units_are_multiples_of_each_other() -> None:
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
def test_durations_are_parsed(value: float | str, seconds: float) -> None:
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
def test_an_invalid_duration_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"as a duration\. Accepted: .*'1h 30m'"):
        parse_duration(value)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(list(UNITS))), min_size=1))
def test_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    text = " ".join(f"{count}{unit}" for count, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(count * UNITS[unit] for count, unit in parts))


NOW = 1_735_689_600_000  # 2025-01-01 00:00


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (NOW, NOW),
        (float(NOW), NOW),
        (0, 0),
        ("now", NOW),
        ("180d", NOW - 180 * DAY),
        (" 1h 30m ", NOW - 90 * MINUTE),
        ("2024-01-31", ms(2024, 1, 31)),
        ("20240131", ms(2024, 1, 31)),
        ("2024-01-31T12:00", ms(2024, 1, 31, 12)),
        ("2024-01-31 12:00:00Z", ms(2024, 1, 31, 12)),
        ("2024-01-31T12:00+02:00", ms(2024, 1, 31, 10)),
        (datetime(2024, 1, 31, 12), ms(2024, 1, 31, 12)),  # noqa: DTZ001
        (datetime(2024, 1, 31, 12, tzinfo=UTC), ms(2024, 1, 31, 12)),
        (datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), ms(2024, 1, 31, 10)),
        (date(2024, 1, 31), ms(2024, 1, 31)),
        (pd.Timestamp("2024-01-31 12:00"), ms(2024, 1, 31, 12)),
        (np.int64(NOW), NOW),
        ("100000w", 0),
    ],
)
def test_times_are_parsed_in_every_form(value: object, moment: int) -> None:
    found = parse_since(value, NOW)  # type: ignore[arg-type]
    assert found == moment
    assert type(found) is int


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2024", "2024-13-01", "180 days", "-1d", "1e3d", 1_700_000_000, -1, True,
     None, float("nan"), float("inf"), pd.NaT, [], "180d!"],
)  # fmt: skip
def test_an_invalid_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"Cannot use .* as a time\. Accepted"):
        parse_since(value, NOW)  # type: ignore[arg-type]


@given(st.integers(1_230_768_000_000, 4_102_444_800_000))
def test_a_timestamp_survives_its_iso_text(moment: int) -> None:
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).isoformat()
    assert parse_since(text, NOW) == moment
