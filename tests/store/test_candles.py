"""Candle storage: writes, revisions, reads and holes."""

from __future__ import annotations

import gzip
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput, StoreError, UnknownSymbol, UnknownTimeframe
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import DAY, MINUTE
from botlib.store import CandleStorage, Database
from botlib.store.holes import Run, _without

START = 29_000_000 * MINUTE
NOW = START + DAY


def candle(index: int, close: float = 1.5, **changes: Any) -> Candle:
    base = Candle(
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=START + index * MINUTE,
        open=1.0,
        high=2.0,
        low=0.5,
        close=close,
        volume=10.0,
        closed=True,
        source=CandleSource.STREAM,
    )
    return replace(base, **changes)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return connection.execute(query).fetchall()


def closes(storage: CandleStorage) -> list[float]:
    return [item.close for item in storage.candles("BTC/USDT", "1m")]


def test_closed_candles_are_read_back_as_they_were(storage: CandleStorage) -> None:
    given_candles = [candle(i, source=source) for i, source in enumerate(CandleSource)]
    report = storage.write(given_candles, now=NOW)
    assert (report.inserted, report.closed, report.final) == (3, 3, given_candles)
    assert storage.candles("BTC/USDT", "1m") == given_candles
    assert storage.candles("btcusdt", "1m") == given_candles


def test_provenance_is_stored_under_the_venues_id(
    database: Database, storage: CandleStorage
) -> None:
    storage.write([candle(0, closed=False)], now=NOW)
    storage.write([candle(0, source=CandleSource.REST)], now=NOW + 5)
    storage.write([candle(0, close=1.6, source=CandleSource.IMPORT)], now=NOW + 9)
    assert rows(
        database,
        "SELECT symbol, timeframe, timestamp, closed, source, first_seen, revised FROM candles",
    ) == [("BTCUSDT", "1m", START, 1, "import", NOW, NOW + 9)]


def test_forming_candle_is_updated_and_becomes_final(storage: CandleStorage) -> None:
    first = candle(0, closed=False, high=1.5, low=1.0, volume=1.0)
    report = storage.write([first], now=NOW)
    assert (report.inserted, report.closed) == (1, 0)
    report = storage.write([replace(first, high=1.8, volume=2.0)], now=NOW)
    assert (report.updated, report.inserted) == (1, 0)
    assert storage.write([replace(first, high=1.8, volume=2.0)], now=NOW).unchanged == 1
    assert storage.candles("BTC/USDT", "1m") == []
    assert storage.last_closed("BTC/USDT", "1m") is None
    assert storage.span("BTC/USDT", "1m") is None
    report = storage.write([candle(0)], now=NOW)
    assert report.final == [candle(0)]
    assert report.inserted == 0
    assert storage.last_closed("BTC/USDT", "1m") == START
    storage.write([candle(2), candle(3, closed=False)], now=NOW)
    assert storage.span("BTC/USDT", "1m") == (START, START + 2 * MINUTE)


@pytest.mark.parametrize(
    "older", [{"volume": 1.0}, {"high": 1.6, "close": 1.6}, {"low": 0.9}], ids=str
)
def test_late_frame_does_not_replace_a_later_state_of_a_forming_candle(
    database: Database, storage: CandleStorage, older: dict[str, float]
) -> None:
    young = candle(0, closed=False, close=1.7)
    storage.write([young], now=NOW)
    assert storage.write([replace(young, **older)], now=NOW).late == 1
    assert rows(database, "SELECT open, high, low, close, volume FROM candles") == [
        (1.0, 2.0, 0.5, 1.7, 10.0)
    ]


def test_open_candle_never_replaces_a_closed_one(storage: CandleStorage) -> None:
    storage.write([candle(0)], now=NOW)
    report = storage.write([candle(0, close=1.9, volume=99.0, closed=False)], now=NOW)
    assert (report.late, report.refused, report.closed) == (1, 1, 0)
    assert closes(storage) == [1.5]


def test_same_closed_candle_changes_nothing(database: Database, storage: CandleStorage) -> None:
    storage.write([candle(0)], now=NOW)
    before = rows(database, "SELECT * FROM candles")
    report = storage.write([candle(0, source=CandleSource.REST)] * 3, now=NOW + 1)
    assert (report.unchanged, report.closed, report.final) == (3, 0, [])
    assert rows(database, "SELECT * FROM candles") == before


def test_revision_keeps_the_old_values(
    database: Database, storage: CandleStorage, caplog: pytest.LogCaptureFixture
) -> None:
    storage.write([candle(0)], now=NOW)
    with caplog.at_level("INFO"):
        report = storage.write([candle(0, close=1.7, source=CandleSource.REST)], now=NOW + 7)
    assert (report.revised, report.closed) == (1, 0)
    assert closes(storage) == [1.7]
    assert rows(
        database, "SELECT symbol, timeframe, timestamp, revised, close, source FROM revisions"
    ) == [("BTCUSDT", "1m", START, NOW + 7, 1.5, "stream")]
    assert "was revised" in caplog.text


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ({"close": 3.0}, "outside"),
        ({"high": float("nan")}, "not finite"),
        ({"low": 0.0}, "not positive"),
        ({"volume": -1.0}, "negative"),
        ({"timestamp": START + MINUTE - 1}, "no candle opens"),
    ],
)
def test_impossible_candles_are_refused_and_the_rest_is_stored(
    storage: CandleStorage, caplog: pytest.LogCaptureFixture, flaw: dict[str, Any], words: str
) -> None:
    report = storage.write([candle(0), candle(1, **flaw), candle(2)], now=NOW)
    assert (report.flawed, report.refused, report.inserted) == (1, 1, 2)
    assert words in caplog.text
    assert [item.timestamp for item in storage.candles("BTC/USDT", "1m")] == [
        START,
        START + 2 * MINUTE,
    ]


@pytest.mark.parametrize("stored", [(), (3,), (0, 9)])
def test_many_candles_at_once_are_stored_as_one_by_one(
    stored: tuple[int, ...], tmp_path: Path
) -> None:
    """New ones together, some that are known among them, and one that comes twice."""
    batch = [candle(index, close=1.5 + index / 100, closed=index != 7) for index in range(10)]
    found = []
    for name, parts in (("a", [batch]), ("b", [[one] for one in batch])):
        with Database.open(tmp_path / name, "binance") as database:
            storage = CandleStorage(database)
            storage.write([candle(index) for index in stored], now=NOW)
            reports = [storage.write(part, now=NOW) for part in parts]
            again = storage.write([batch[2], batch[2], candle(20), candle(20)], now=NOW)
            figures = ("inserted", "updated", "unchanged", "revised", "late", "flawed")
            found.append(
                (
                    [sum(getattr(report, figure) for report in reports) for figure in figures],
                    [one for report in reports for one in report.final],
                    [getattr(again, figure) for figure in figures],
                    rows(database, "SELECT * FROM candles"),
                    rows(database, "SELECT * FROM revisions"),
                )
            )
    assert found[0] == found[1]
    assert found[0][0][0] == 10 - len(stored) and found[0][2][:3] == [1, 0, 3]


def test_failed_write_stores_nothing(storage: CandleStorage) -> None:
    def broken() -> Any:
        yield candle(0)
        raise OSError("stream broke")

    with pytest.raises(OSError, match="stream broke"):
        storage.write(broken(), now=NOW)
    with pytest.raises(StoreError):
        storage.write([candle(0), candle(1, source=_NoSource())], now=NOW)
    assert storage.counts() == {}
    storage.write([candle(0)], now=NOW)
    assert storage.counts() == {("BTC/USDT", "1m"): 1}


class _NoSource:
    value = None


def test_frame_has_the_documented_columns_and_index(storage: CandleStorage) -> None:
    storage.write([candle(i, close=1 + i / 100) for i in (3, 1, 0)], now=NOW)
    storage.write([candle(4, closed=False)], now=NOW)
    frame = storage.frame("BTC/USDT", "1m")
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert set(frame.dtypes) == {np.dtype(np.float64)}
    assert frame.index.name == "timestamp"
    assert frame.index.dtype == np.dtype("datetime64[ms]")
    assert list(frame.index.astype("int64")) == [START + i * MINUTE for i in (0, 1, 3)]
    assert list(frame["close"]) == [1.0, 1.01, 1.03]


def test_ranges_include_both_ends_and_the_limit_takes_the_newest(storage: CandleStorage) -> None:
    storage.write([candle(i) for i in range(10)], now=NOW)

    def read(*arguments: int | None) -> list[int]:
        frame = storage.frame("BTC/USDT", "1m", *arguments)
        times = [item.timestamp for item in storage.candles("BTC/USDT", "1m", *arguments)]
        assert list(frame.index.astype("int64")) == times
        return [(time - START) // MINUTE for time in times]

    assert read(START + 2 * MINUTE, START + 4 * MINUTE) == [2, 3, 4]
    assert read(None, START + 4 * MINUTE, 2) == [3, 4]
    assert read(START + 8 * MINUTE) == [8, 9]
    assert read(None, None, 3) == [7, 8, 9]
    assert read(None, None, 0) == []
    assert read(START + DAY) == []


def test_nothing_stored_is_an_empty_frame(storage: CandleStorage) -> None:
    frame = storage.frame("BTC/USDT", "1m")
    assert frame.empty
    assert frame.index.dtype == np.dtype("datetime64[ms]")
    assert storage.candles("BTC/USDT", "1m", limit=5) == []
    assert storage.missing("BTC/USDT", "1m", START, START + MINUTE) == [(START, START + MINUTE)]


@pytest.mark.parametrize("limit", [None, 2])
def test_big_times_and_prices_survive_exactly(storage: CandleStorage, limit: int | None) -> None:
    exact = candle(0, high=123_456.789_012_345, close=0.1 + 0.2, low=1e-8, open=1e-8)
    far = replace(exact, timestamp=200 * 365 * DAY)
    storage.write([exact, far], now=NOW)
    assert storage.candles("BTC/USDT", "1m", limit=limit) == [exact, far]
    frame = storage.frame("BTC/USDT", "1m", limit=limit)
    assert list(frame.index.astype("int64")) == [exact.timestamp, far.timestamp]
    assert frame["high"].iloc[0] == exact.high


def test_unknown_names_are_refused(storage: CandleStorage) -> None:
    for read in (storage.frame, storage.candles, storage.last_closed, storage.span):
        with pytest.raises(UnknownTimeframe):
            read("BTC/USDT", "60m")
        with pytest.raises(UnknownSymbol):
            read("no symbol", "1m")
    with pytest.raises(InvalidInput, match="limit"):
        storage.frame("BTC/USDT", "1m", limit=-1)
    with pytest.raises(UnknownTimeframe):
        storage.missing("BTC/USDT", "60m", START, START)
    with pytest.raises(InvalidInput, match="before it starts"):
        storage.mark_hole("BTC/USDT", "1m", START, START - MINUTE, cause="x", now=NOW)


def test_counts_are_of_closed_candles_by_symbol_and_timeframe(storage: CandleStorage) -> None:
    storage.write([candle(i) for i in range(3)], now=NOW)
    storage.write([candle(3, closed=False)], now=NOW)
    storage.write([candle(0, timeframe="15m", timestamp=START - START % (15 * MINUTE))], now=NOW)
    storage.write([candle(0, symbol="ABC/XYZ")], now=NOW)
    storage.write([candle(0, symbol="ETH/USDT", closed=False)], now=NOW)
    counts = {("ABC/XYZ", "1m"): 1, ("BTC/USDT", "1m"): 3, ("BTC/USDT", "15m"): 1}
    assert storage.counts() == counts
    assert list(storage.counts()) == list(counts)


def test_two_symbols_with_one_id_are_not_mixed(storage: CandleStorage) -> None:
    storage.write([candle(0, symbol="AB/CUSDT")], now=NOW)
    with pytest.raises(StoreError, match="both stored as 'ABCUSDT'"):
        storage.write([candle(0, symbol="ABC/USDT")], now=NOW)


def test_missing_runs(storage: CandleStorage) -> None:
    storage.write([candle(i) for i in (2, 3, 6, 9)], now=NOW)
    storage.write([candle(7, closed=False)], now=NOW)

    def missing(first: int, last: int) -> list[Run]:
        runs = storage.missing("BTC/USDT", "1m", START + first * MINUTE, START + last * MINUTE)
        return [((a - START) // MINUTE, (b - START) // MINUTE) for a, b in runs]

    assert missing(0, 11) == [(0, 1), (4, 5), (7, 8), (10, 11)]
    assert missing(2, 3) == []
    assert missing(4, 4) == [(4, 4)]
    assert missing(5, 4) == []
    assert missing(20, 21) == [(20, 21)]


def test_missing_takes_only_whole_candles(storage: CandleStorage) -> None:
    runs = storage.missing("BTC/USDT", "1m", START + 1, START + 2 * MINUTE + 1)
    assert runs == [(START + MINUTE, START + 2 * MINUTE)]
    assert storage.missing("BTC/USDT", "1h", START + 1, START + 2) == []


def test_weekly_candles_open_on_mondays(storage: CandleStorage) -> None:
    monday = int(pd.Timestamp("2026-01-05").value // 1_000_000)
    week = candle(0, timeframe="1w", timestamp=monday)
    assert storage.write([week, replace(week, timestamp=monday + DAY)], now=NOW).flawed == 1
    assert storage.missing("BTC/USDT", "1w", monday - DAY, monday + 8 * DAY) == [
        (monday + 7 * DAY, monday + 7 * DAY)
    ]


def spans(storage: CandleStorage) -> list[tuple[int, int, str]]:
    return [
        ((hole.start - START) // MINUTE, (hole.end - START) // MINUTE, hole.cause)
        for hole in storage.holes("BTC/USDT", "1m")
    ]


def mark(storage: CandleStorage, first: int, last: int, cause: str = "halt") -> int:
    start, end = START + first * MINUTE, START + last * MINUTE
    return storage.mark_hole("BTC/USDT", "1m", start, end, cause=cause, now=NOW)


def test_holes_are_known_and_no_longer_missing(storage: CandleStorage) -> None:
    storage.write([candle(0), candle(9)], now=NOW)
    assert mark(storage, 2, 5) == 4
    assert storage.missing("BTC/USDT", "1m", START, START + 9 * MINUTE) == [
        (START + MINUTE, START + MINUTE),
        (START + 6 * MINUTE, START + 8 * MINUTE),
    ]
    assert mark(storage, 0, 9) == 4
    assert spans(storage) == [(1, 8, "halt")]
    assert storage.missing("BTC/USDT", "1m", START, START + 9 * MINUTE) == []
    assert mark(storage, 0, 9) == 0
    hole = storage.holes()[0]
    assert (hole.symbol, hole.timeframe, hole.candles, hole.marked) == ("BTC/USDT", "1m", 8, NOW)


def test_holes_of_different_causes_stay_apart(storage: CandleStorage) -> None:
    mark(storage, 0, 1, "halt")
    mark(storage, 2, 3, "not listed")
    mark(storage, 0, 5, "halt")
    assert spans(storage) == [(0, 1, "halt"), (2, 3, "not listed"), (4, 5, "halt")]
    assert storage.holes("ETH/USDT") == []
    assert storage.holes(timeframe="5m") == []
    assert len(storage.holes(timeframe="1m")) == 3


@pytest.mark.parametrize(
    ("index", "left"),
    [(2, [(3, 6)]), (6, [(2, 5)]), (4, [(2, 3), (5, 6)]), (7, [(2, 6)]), (1, [(2, 6)])],
)
def test_candle_inside_a_hole_shrinks_it(
    storage: CandleStorage, index: int, left: list[tuple[int, int]]
) -> None:
    mark(storage, 2, 6)
    storage.write([candle(index, closed=False)], now=NOW)
    assert spans(storage) == [(2, 6, "halt")]
    storage.write([candle(index)], now=NOW)
    assert [span[:2] for span in spans(storage)] == left


def test_filled_hole_disappears(storage: CandleStorage) -> None:
    mark(storage, 0, 0)
    storage.write([candle(0)], now=NOW)
    assert storage.holes() == []


@given(
    present=st.sets(st.integers(0, 30)),
    marked=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8))),
    later=st.sets(st.integers(0, 30)),
)
@settings(max_examples=30, deadline=None)
def test_stored_holes_and_missing_cover_every_time_once(
    present: set[int], marked: list[tuple[int, int]], later: set[int]
) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        Database.open(Path(directory, "a.db"), "binance") as database,
    ):
        storage = CandleStorage(database)
        storage.write([candle(i) for i in present], now=NOW)
        for first, length in marked:
            mark(storage, first, first + length)
        storage.write([candle(i) for i in later], now=NOW)
        seen = [(c.timestamp - START) // MINUTE for c in storage.candles("BTC/USDT", "1m")]
        assert set(seen) == present | later
        for first, last, _ in spans(storage):
            seen += range(first, last + 1)
        for start, end in storage.missing("BTC/USDT", "1m", START, START + 38 * MINUTE):
            seen += range((start - START) // MINUTE, (end - START) // MINUTE + 1)
        assert sorted(seen) == list(range(39))
        covered = {i for first, length in marked for i in range(first, first + length + 1)}
        holes = {i for first, last, _ in spans(storage) for i in range(first, last + 1)}
        assert holes == covered - present - later


@given(
    runs=st.sets(st.integers(0, 40)),
    holes=st.sets(st.integers(0, 40)),
)
@settings(max_examples=100, deadline=None)
def test_without_is_set_difference(runs: set[int], holes: set[int]) -> None:
    left = list(_without(_runs_of(runs), _runs_of(holes), 1))
    assert {i for a, b in left for i in range(a, b + 1)} == runs - holes


def _runs_of(numbers: set[int]) -> list[Run]:
    grouped = itertools.groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    members = [[number for _, number in group] for _, group in grouped]
    return [(group[0], group[-1]) for group in members]


FORMING = [(0.1, 1.1, 0.95), (0.4, 1.6, 0.9), (0.4, 1.6, 0.8), (3.0, 1.9, 0.7)]
"""Volume, high and low of one candle as it forms."""


def truth(index: int) -> list[Candle]:
    """Return every frame of one candle, in the order the venue sends them."""
    end = candle(index, close=1 + index / 100)
    return [
        *(replace(end, closed=False, volume=v, high=h, low=low, close=h) for v, h, low in FORMING),
        end,
    ]


@given(data=st.data(), batches=st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_any_order_of_frames_ends_in_the_same_table(data: st.DataObject, batches: int) -> None:
    """Frames arrive late, twice and shuffled; only the last candle is still forming."""
    closed_count, forming_count = 4, data.draw(st.integers(0, len(FORMING)))
    frames = [frame for index in range(closed_count) for frame in truth(index)]
    frames += truth(closed_count)[:forming_count]
    arrivals = data.draw(st.permutations(frames + data.draw(st.lists(st.sampled_from(frames)))))
    expected, found = ([], [])
    with tempfile.TemporaryDirectory() as directory:
        for name, order, result in (("a", frames, expected), ("b", arrivals, found)):
            with Database.open(Path(directory, name), "binance") as database:
                storage = CandleStorage(database)
                size = len(order) // batches + 1
                final = []
                for part in range(0, len(order), size):
                    final += storage.write(order[part : part + size], now=NOW).final
                result += rows(
                    database,
                    "SELECT symbol, timeframe, timestamp, open, high, low, close, volume, closed "
                    "FROM candles",
                )
                assert sorted(c.timestamp for c in final) == [
                    START + i * MINUTE for i in range(closed_count)
                ]
    assert found == expected


def test_recorded_month_with_halts(recorded: Callable[[str], Path], storage: CandleStorage) -> None:
    """The halts of April 2021 are missing until they are marked; the rest is bar for bar."""
    path = recorded("candles/ETHUSDT-1m-20210402-20210514.csv.gz")
    with gzip.open(path, "rt") as file:
        table = pd.read_csv(file)
    candles = [
        Candle(
            symbol="ETH/USDT",
            timeframe="1m",
            timestamp=row.timestamp,
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            volume=row.volume,
            closed=True,
            source=CandleSource.IMPORT,
        )
        for row in table.itertuples()
    ]
    shuffled = candles[::2] + candles[1::2]
    for part in range(0, len(shuffled), 1_000):
        storage.write(shuffled[part : part + 1_000], now=NOW)
    frame = storage.frame("ETHUSDT", "1m")
    assert list(frame.index.astype("int64")) == list(table["timestamp"])
    assert (frame.to_numpy() == table[list(frame.columns)].to_numpy()).all()
    first, last = candles[0].timestamp, candles[-1].timestamp
    halts = storage.missing("ETH/USDT", "1m", first, last)
    assert [(pd.Timestamp(a, unit="ms"), pd.Timestamp(b, unit="ms")) for a, b in halts] == [
        (pd.Timestamp("2021-04-20 02:00"), pd.Timestamp("2021-04-20 04:29")),
        (pd.Timestamp("2021-04-25 04:01"), pd.Timestamp("2021-04-25 08:44")),
    ]
    assert (
        sum(
            storage.mark_hole("ETH/USDT", "1m", *halt, cause="trading halt", now=NOW)
            for halt in halts
        )
        == 434
    )
    assert storage.missing("ETH/USDT", "1m", first, last) == []
    assert last - first == (len(candles) + 434 - 1) * MINUTE


def test_the_spans_of_repaired_candles_are_returned(storage: CandleStorage) -> None:
    rest, stream = CandleSource.REST, CandleSource.STREAM
    sources = [rest, rest, stream, rest, rest, stream, CandleSource.IMPORT, stream]
    storage.write([candle(i, source=one) for i, one in enumerate(sources)], now=1)
    storage.write([candle(5, 1.6)], now=2)
    runs = storage.repaired("BTC/USDT", "1m", START, START + 100 * MINUTE)
    assert [((a - START) // MINUTE, (b - START) // MINUTE) for a, b in runs] == [(3, 6)]
    assert storage.repaired("BTC/USDT", "1m", START, START + MINUTE) == []
