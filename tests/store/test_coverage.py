"""The report on stored candles: figures, picture, escaping."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from botlib.core.errors import InvalidInput
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import DAY, HOUR
from botlib.store import CandleStorage, Database
from botlib.store.coverage import State, data_report

T0 = 1_735_689_600_000  # 2025-01-01 00:00
NOW = T0 + 100 * DAY


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[CandleStorage]:
    with Database.open(tmp_path / "candles.db", "binance") as database:
        yield CandleStorage(database)


def fill(
    storage: CandleStorage,
    places: range,
    source: CandleSource = CandleSource.REST,
    *,
    symbol: str = "BTC/USDT",
    timeframe: str = "1h",
    volume: float = 1.0,
    closed: bool = True,
) -> None:
    storage.write(
        [
            Candle(
                symbol=symbol,
                timeframe=timeframe,
                timestamp=T0 + place * HOUR,
                open=1.0,
                high=2.0,
                low=0.5,
                close=1.5,
                volume=volume,
                closed=closed,
                source=source,
            )
            for place in places
        ],
        now=NOW,
    )


def hole(storage: CandleStorage, first: int, last: int, cause: str) -> None:
    storage.mark_hole("BTC/USDT", "1h", T0 + first * HOUR, T0 + last * HOUR, cause=cause, now=NOW)


def test_coverage_holes_sources_and_revisions(storage: CandleStorage) -> None:
    fill(storage, range(100, 200))
    fill(storage, range(210, 300), CandleSource.STREAM)
    fill(storage, range(310, 400), CandleSource.IMPORT)
    fill(storage, range(310, 313), CandleSource.REST, volume=2.0)
    fill(storage, range(310, 311), CandleSource.REST, volume=3.0)
    fill(storage, range(400, 401), CandleSource.STREAM, closed=False)
    hole(storage, 0, 99, "before listing")
    hole(storage, 200, 209, "absent at the venue")
    (row,) = data_report(storage).rows
    assert row.stock.sources == {"rest": 103, "stream": 90, "import": 87}
    assert (row.stock.first, row.stock.last) == (T0 + 100 * HOUR, T0 + 399 * HOUR)
    assert (row.stock.revised, row.stock.revisions, row.stock.last_revision) == (3, 4, NOW)
    assert row.causes == {"before listing": 100, "absent at the venue": 10}
    assert row.missing == ((T0 + 300 * HOUR, T0 + 309 * HOUR),)
    assert (row.missing_candles, row.share) == (10, 280 / 290)
    shown = str(data_report(storage))
    assert "96.55\u2009%" in shown
    assert "100 before listing; 10 absent at the venue" in shown
    assert ("BTC/USDT 1h: 10 missing from 2025-01-13 12:00:00 to 2025-01-13 21:00:00") in shown
    assert "closed candles corrected 4 times" in shown


def test_the_picture_shows_each_state_where_it_is(storage: CandleStorage) -> None:
    fill(storage, range(0, 100))
    fill(storage, range(150, 200))
    hole(storage, 100, 119, "absent at the venue")
    fill(storage, range(180, 400), symbol="ETH/USDT")
    report = data_report(storage)
    start, end = T0, T0 + 400 * HOUR
    bitcoin, ether = (row.states(start, end, 40) for row in report.rows)
    assert "".join(s.value for s in bitcoin) == "█" * 10 + "▒" * 2 + "×" * 3 + "█" * 5 + "·" * 20
    assert "".join(s.value for s in ether) == "·" * 18 + "█" * 22
    assert bitcoin[0] is State.STORED
    picture = ElementTree.fromstring(report.svg)
    rects = [rect for rect in picture.iter("{http://www.w3.org/2000/svg}rect") if rect.get("fill")]
    widths = [int(rect.get("width", "0")) for rect in rects]
    assert widths[:4] == [150, 30, 45, 75]


def test_a_single_missing_candle_of_years_is_still_seen(storage: CandleStorage) -> None:
    fill(storage, range(0, 5_000))
    fill(storage, range(5_001, 9_000))
    (row,) = data_report(storage).rows
    states = row.states(T0, T0 + 9_000 * HOUR, 100)
    assert states.count(State.MISSING) == 1
    assert states[55] is State.MISSING
    # Never rounded up to complete.
    assert "99.98\u2009%" in str(data_report(storage))


def test_one_symbol_or_timeframe_only(storage: CandleStorage) -> None:
    fill(storage, range(0, 10))
    fill(storage, range(0, 12, 4), timeframe="4h")
    fill(storage, range(0, 10), symbol="ETH/USDT")

    def keys(**only: str) -> list[tuple[str, str]]:
        return [(r.stock.symbol, r.stock.timeframe) for r in data_report(storage, **only).rows]

    assert keys() == [("BTC/USDT", "1h"), ("BTC/USDT", "4h"), ("ETH/USDT", "1h")]
    assert keys(symbol="BTCUSDT") == [("BTC/USDT", "1h"), ("BTC/USDT", "4h")]
    assert keys(timeframe="1h") == [("BTC/USDT", "1h"), ("ETH/USDT", "1h")]
    assert keys(symbol="SOL/USDT") == []
    with pytest.raises(InvalidInput, match="Unknown timeframe '7m'"):
        keys(timeframe="7m")
    with pytest.raises(InvalidInput, match="Cannot read 'x y' as a symbol"):
        keys(symbol="x y")


def test_nothing_stored_says_so(storage: CandleStorage) -> None:
    report = data_report(storage)
    assert "No candles are stored" in str(report)
    assert "No candles are stored" in report._repr_html_()
    assert report.svg == ""


def test_everything_shown_as_html_is_escaped(storage: CandleStorage) -> None:
    fill(storage, range(0, 10))
    hole(storage, 3, 3, "unused")
    hole(storage, 20, 21, "<script>alert(1)</script> & more")
    html = data_report(storage)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "100\u2009%" in html
