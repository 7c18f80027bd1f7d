"""The replay of recorded candle files."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from botlib.core.errors import RecordingError, UnknownSymbol, UnknownTimeframe
from botlib.core.timeframe import HOUR, MINUTE
from botlib.paper.market.market import PaperMarket
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.store.files import read_recording

T0 = 1_733_011_200_000


def recording(
    folder: Path, name: str = "BTCUSDT-1m-a.csv", *, minutes: range = range(90), price: str = "2.5"
) -> Path:
    path = folder / name
    step = 15 * MINUTE if "15m" in name else MINUTE
    path.write_text(
        "".join(f"{T0 + i * step},{price},{price},{price},{price},1.25\n" for i in minutes)
    )
    return path


def test_both_markets_have_the_protocol(tmp_path: Path) -> None:
    markets: list[PaperMarket] = [SyntheticMarket(1), ReplayMarket([recording(tmp_path)])]
    assert [market.base for market in markets] == ["1m", "1m"]


def test_a_replay_gives_the_recorded_candles_and_their_aggregates(tmp_path: Path) -> None:
    market = ReplayMarket([recording(tmp_path)])
    assert market.span("BTCUSDT") == (T0, T0 + 89 * MINUTE)
    assert len(market.bars("BTC/USDT", "1m", 0, 2**60)) == 90
    assert market.bars("BTC/USDT", "1m", T0 + 1, T0 + MINUTE).timestamp.tolist() == [T0 + MINUTE]
    hours = market.bars("BTC/USDT", "1h", 0, 2**60)
    assert hours.timestamp.tolist() == [T0, T0 + HOUR]
    assert hours.volume.tolist() == [75.0, 37.5]
    # Candles are complete, whatever the end of the request.
    assert market.bars("BTC/USDT", "1h", T0, T0).volume.tolist() == [75.0]


def test_gaps_are_skipped_and_nothing_opens_after_the_end(tmp_path: Path) -> None:
    path = recording(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:20] + lines[50:]) + "\n")
    market = ReplayMarket([path])
    assert market.next_open("BTC/USDT", 0) == T0
    assert market.next_open("BTC/USDT", T0 + 19 * MINUTE + 1) == T0 + 50 * MINUTE
    assert market.next_open("BTC/USDT", T0 + 89 * MINUTE) == T0 + 89 * MINUTE
    assert market.next_open("BTC/USDT", T0 + 89 * MINUTE + 1) is None
    assert market.bars("BTC/USDT", "15m", 0, 2**60).timestamp.tolist() == [
        T0 + i * 15 * MINUTE for i in (0, 1, 3, 4, 5)
    ]
    assert [recording.report.missing for recording in market.recordings] == [30]


def test_several_files_and_symbols(tmp_path: Path) -> None:
    files = [
        recording(tmp_path, "BTCUSDT-1m-b.csv", minutes=range(60, 120)),
        recording(tmp_path, "BTCUSDT-1m-a.csv", minutes=range(0, 70)),
        recording(tmp_path, "ETHUSDT-1m.csv", minutes=range(30, 60), price="0.125"),
    ]
    market = ReplayMarket(files)
    assert [item.symbol for item in market.listings()] == ["BTC/USDT", "ETH/USDT"]
    assert market.bars("BTC/USDT", "1m", 0, 2**60).timestamp.tolist() == [
        T0 + i * MINUTE for i in range(120)
    ]
    assert market.span("ETH/USDT") == (T0 + 30 * MINUTE, T0 + 59 * MINUTE)
    assert market.venue == ReplayMarket(files[::-1]).venue
    assert market.venue.startswith("paper:recording:BTCUSDT-1m-a+2:")


def test_the_venue_contains_the_file_name_and_a_hash_of_the_content(tmp_path: Path) -> None:
    path = recording(tmp_path)
    market = ReplayMarket([read_recording(path)])
    assert market.venue == f"paper:recording:BTCUSDT-1m-a:{market.recordings[0].sha256[:8]}"
    before = market.venue
    recording(tmp_path, price="2.6")
    assert ReplayMarket([path]).venue != before


def test_tick_and_step_are_binances_or_those_of_the_data(tmp_path: Path) -> None:
    known = ReplayMarket([recording(tmp_path)]).listing("btcusdt")
    assert (known.tick, known.step) == (Decimal("0.01"), Decimal("0.00001"))
    seen = ReplayMarket([recording(tmp_path, "ZEDUSDT-1m.csv", price="0.0125")]).listing("ZED/USDT")
    assert (seen.tick, seen.step) == (Decimal("0.0001"), Decimal("0.01"))
    finer = ReplayMarket([recording(tmp_path, price="2.0001")]).listing("BTC/USDT")
    assert finer.tick == Decimal("0.0001")


def test_symbols_and_timeframes_outside_a_recording_are_refused(tmp_path: Path) -> None:
    market = ReplayMarket([recording(tmp_path, "BTCUSDT-15m.csv")])
    assert market.timeframes()[:2] == ["15m", "30m"]
    with pytest.raises(UnknownSymbol, match=r"not in the recording\. It holds: BTC/USDT"):
        market.bars("ETH/USDT", "15m", 0, 1)
    for timeframe in ("1m", "7m"):
        with pytest.raises(UnknownTimeframe):
            market.bars("BTC/USDT", timeframe, 0, 1)
    with pytest.raises(RecordingError, match="at least one"):
        ReplayMarket([])
    with pytest.raises(RecordingError, match=r"different timeframes \(15m, 1m\)"):
        ReplayMarket([recording(tmp_path), recording(tmp_path, "ETHUSDT-15m.csv")])


@pytest.mark.recorded
def test_recorded_symbols_with_different_spans(recorded: Callable[[str], Path]) -> None:
    names = [f"candles/{name}USDT-1m-20210402-20210514.csv.gz" for name in ("BTC", "BURGER")]
    market = ReplayMarket([recorded(name) for name in names])
    assert market.span("BURGERUSDT")[0] == 1_619_784_000_000
    halt = 1_618_884_000_000
    assert market.next_open("BTC/USDT", halt) == halt + 150 * MINUTE
    assert len(market.bars("BTC/USDT", "1h", halt, halt + HOUR)) == 0
    assert market.listing("BURGERUSDT").tick == Decimal("0.01")
