"""Research on stored candles: no key, no bot, no network, several processes at once."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import botlib as bl
from botlib.core.errors import BotlibError, ExchangeUnavailable, InvalidInput, StoreLocked
from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import HOUR, MINUTE, timeframe_ms
from botlib.frames import COLUMNS, resample
from botlib.lab import Lab
from botlib.paper import PaperProcess
from botlib.store import CandleStorage, Database, database_path
from botlib.store.market_lists import market_list_path
from tests.support.earlier_databases import VERSIONS, as_version
from tests.support.store_processes import line, process

T0 = 1_733_011_200_000  # 2024-12-01
PAPER = "paper:synthetic:seed=42"
TREND = bl.TrendCross(fast=5, slow=12, timeframes=("1h",))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this computer, and every name that is resolved."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            raise OSError(f"the network is not used by tests: {address}")
        connect(self, address)

    def unresolved(host: Any, *arguments: Any, **options: Any) -> Any:
        if host in (None, "127.0.0.1", "localhost", "::1"):
            return resolve(host, *arguments, **options)
        raise socket.gaierror(f"no name is resolved by tests: {host}")

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, without keys in the environment; its data directory is returned."""
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    return tmp_path / "data"


def walk(
    symbol: str, timeframe: str, count: int, start: int = T0, price: float = 90_000.0
) -> list[Candle]:
    chance = np.random.default_rng(3)
    closes = np.round(price * np.exp(np.cumsum(chance.normal(0, 2e-3, count))), 2)
    opens = np.concatenate([[price], closes[:-1]])
    return [
        Candle(
            symbol=symbol,
            timeframe=timeframe,
            timestamp=start + index * timeframe_ms(timeframe),
            open=float(o),
            high=float(max(o, c) + 1),
            low=float(min(o, c) - 1),
            close=float(c),
            volume=5.0,
            closed=True,
            source=CandleSource.IMPORT,
        )
        for index, (o, c) in enumerate(zip(opens, closes, strict=True))
    ]


def fill(data: Path, *candles: list[Candle], venue: str = "binance") -> None:
    with Database.open(database_path(data, venue), venue) as database:
        for part in candles:
            CandleStorage(database).write(part, now=1)


@pytest.fixture
def lab(home: Path) -> Lab:
    """A lab with 700 hourly and 3,000 one-minute candles."""
    fill(home, walk("BTC/USDT", "1h", 700), walk("ETH/USDT", "1m", 3_000, price=3_000.0))
    return bl.research()


def test_stored_candles_are_those_of_the_database(lab: Lab) -> None:
    frame = lab.candles("BTC/USDT", "1h")
    assert len(frame) == 700 and tuple(frame.columns) == COLUMNS
    assert frame.index[0] == pd.Timestamp("2024-12-01")
    assert len(lab.candles("btcusdt", "1h", since="2024-12-02", until="2024-12-02T23:00")) == 24
    assert len(lab.candles("BTC/USDT", "1h", limit=7)) == 7
    assert len(lab.stored_candles("BTC/USDT", "1h", limit=3)) == 3
    assert "tradingbot.db" in repr(lab) and lab.venue == "binance"
    shown = lab._repr_html_()
    assert "2024-12-30 03:00" in shown and "ETH/USDT" in shown and "RESEARCH" in shown
    assert {"backtest", "candles", "market", "data_report", "aio"} <= set(dir(lab))


def test_a_span_counts_back_from_the_newest_stored_candle(lab: Lab) -> None:
    frame = lab.candles("BTC/USDT", "1h", since="2d")
    assert len(frame) == 48
    assert frame.index[-1] == lab.candles("BTC/USDT", "1h").index[-1]


def test_a_longer_timeframe_is_built_from_a_stored_one_and_told(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = lab.candles("ETH/USDT", "1m")
    built = lab.candles("ETH/USDT", "15m", since="1d")
    whole = resample(minutes, "15m", base="1m")
    pd.testing.assert_frame_equal(built, whole.iloc[-96:])
    assert "ETH/USDT 15m is not stored; it is built from the 1m candles" in capsys.readouterr().out
    lab.candles("ETH/USDT", "15m", limit=2)
    assert capsys.readouterr().out == ""  # told once


def test_what_is_asked_beyond_the_stored_candles_is_told(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.candles("BTC/USDT", "1h", since="2020-01-01", until="2026-01-01")
    told = capsys.readouterr().out
    assert "begins 2024-12-01 00:00:00; asked for 2020-01-01" in told
    assert "ends 2024-12-30 03:00:00; asked for 2026-01-01" in told


def test_candles_that_are_not_stored_between_others_are_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(home, walk("BTC/USDT", "1h", 10), walk("BTC/USDT", "1h", 10, start=T0 + 15 * HOUR))
    bl.research().candles("BTC/USDT", "1h")
    assert "5 candles between" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("symbol", "timeframe", "words"),
    [
        ("SOL/USDT", "1h", "Stored symbols: BTC/USDT, ETH/USDT"),
        ("BTC/USDT", "15m", "Stored of it: 1h from 2024-12-01"),
        ("BTC/USDT", "7h", "Unknown timeframe"),
    ],
)
def test_what_is_not_stored_is_an_error_with_what_is(
    lab: Lab, symbol: str, timeframe: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        lab.candles(symbol, timeframe)


def test_what_one_market_lacks_and_another_has_is_said(home: Path) -> None:
    fill(home, walk("BTC/USDT", "1h", 5), venue=PAPER)
    fill(home, walk("SOL/USDT", "1h", 5))
    with pytest.raises(InvalidInput, match=r"real candles of SOL/USDT.*use bl\.research\(\)\."):
        bl.research(PAPER).candles("SOL/USDT", "1h")
    with pytest.raises(InvalidInput, match=r"paper market of BTC.*bl\.research\('synthetic-42'\)"):
        bl.research().candles("BTC/USDT", "1h")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_an_earlier_version_is_upgraded_when_it_is_read(
    home: Path, version: int
) -> None:
    fill(home, walk("BTC/USDT", "1h", 20))
    as_version(database_path(home, "binance"), version)
    lab = bl.research()
    assert len(lab.candles("BTC/USDT", "1h")) == 20
    assert "20" in str(lab.data_report())


def test_without_any_candles_the_error_says_how_to_get_some(home: Path) -> None:
    lab = bl.research()
    with pytest.raises(InvalidInput, match=r"lab\.download.*without a key.*lab\.import_files"):
        lab.candles("BTC/USDT", "1h")
    assert not home.exists()  # research makes nothing


def test_an_unknown_market_is_an_error_that_lists_those_there_are(home: Path) -> None:
    fill(home, walk("BTC/USDT", "1h", 5), venue=PAPER)
    with pytest.raises(
        InvalidInput, match=r"'binance-demo', 'synthetic-42'.*Did you mean 'binance'"
    ):
        bl.research("binanze")


def test_a_paper_market_is_found_by_its_name_and_by_its_stamp(home: Path) -> None:
    fill(home, walk("BTC/USDT", "1h", 5), venue=PAPER)
    assert bl.research("synthetic-42").venue == PAPER
    assert len(bl.research(PAPER).candles("BTC/USDT", "1h")) == 5


def test_everything_a_bot_offers_for_research_works_without_one(lab: Lab, tmp_path: Path) -> None:
    result = lab.backtest(TREND, "BTC/USDT", since="20d")
    assert len(result.roundtrips) > 3
    assert lab.check(TREND, "BTC/USDT", since="20d").ok
    swept = lab.sweep(bl.TrendCross, "BTC/USDT", timeframes=("1h",), fast=[4, 5], slow=[11, 12])
    assert "4 of 4 combinations" in repr(swept)
    forward = lab.walk_forward(
        bl.TrendCross, "BTC/USDT", timeframes=("1h",), train="12d", test="4d", fast=[4, 5]
    )
    assert forward is not None
    book = lab.experiments(symbol="BTCUSDT")
    assert [run.kind for run in book] == ["walk_forward", "sweep", "backtest"]
    assert {run.venue for run in book} == {lab.venue}
    assert swept.overfitting(blocks=4).earlier == 2, "those of the walk forward"
    assert lab.backtest(TREND, "BTC/USDT", book=None) and len(lab.experiments()) == 3
    assert "700" in str(lab.data_report())
    lab.export(tmp_path / "out")
    assert list((tmp_path / "out").rglob("*.parquet"))
    assert list(lab.frames("BTC/USDT", ["1h", "4h"])) == ["1h", "4h"]
    shown = repr(lab.chart("BTCUSDT", "1h", overlays=["ema(20)"]))
    assert shown.startswith(f"<Chart BTC/USDT 1h · {lab.venue}") and "ema(20)" in shown


def test_a_backtest_equals_that_of_the_frame_on_the_terms_of_the_market(lab: Lab) -> None:
    direct = bl.backtest(
        TREND,
        lab.candles("BTC/USDT", "1h"),
        symbol="BTC/USDT",
        market=lab.market("BTC/USDT").market,
        fee=0.001,
    )
    found = lab.backtest(TREND, "BTC/USDT")
    assert found.equity.iloc[-1] == direct.equity.iloc[-1]
    lots = found.fills.amount[found.fills.buy] / float(lab.market("BTC/USDT").step)
    assert len(lots) and np.allclose(lots, lots.round(), atol=1e-6)


def test_the_market_says_that_its_values_are_a_shipped_subset_with_its_date(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    market = lab.market("BTC/USDT")
    assert market.shipped and market.fee == 0.001
    assert "by hand" in market.source and "2025-06-30" in repr(market)
    assert "50 large USDT markets only" in market._repr_html_()
    lab.backtest(TREND, "BTC/USDT")
    assert "Lots and fee of BTC/USDT: shipped with botlib" in capsys.readouterr().out


def test_a_market_outside_the_subset_is_traded_without_lots_and_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(home, walk("BURGER/USDT", "1h", 300, price=9.0))
    lab = bl.research()
    with pytest.raises(InvalidInput, match="not in the list of the markets of binance"):
        lab.market("BURGER/USDT")
    assert len(lab.backtest(TREND, "BURGER/USDT").fills) > 2
    assert "not rounded to lots" in capsys.readouterr().out


def test_a_damaged_list_of_markets_falls_back_to_the_shipped_one(lab: Lab) -> None:
    market_list_path(lab.database).write_text("{")
    assert lab.market("BTC/USDT").shipped


def test_files_are_imported_and_researched(home: Path, tmp_path: Path) -> None:
    rows = "".join(
        f"BTCUSDT,1h,{c.timestamp},{c.open},{c.high},{c.low},{c.close},{c.volume}\n"
        for c in walk("BTC/USDT", "1h", 200)
    )
    path = tmp_path / "BTCUSDT-1h.csv"
    path.write_text(f"symbol,timeframe,timestamp,open,high,low,close,volume\n{rows}")
    lab = bl.research()
    assert lab.import_files(path).inserted == 200
    assert len(lab.candles("BTC/USDT", "1h")) == 200
    fill(home, walk("BTC/USDT", "1h", 5), venue=PAPER)
    with pytest.raises(InvalidInput, match="never mixed"):
        bl.research("synthetic-42").import_files(path)


HOLDER = """
import sys
from pathlib import Path
from botlib.core.model import Candle, CandleSource
from botlib.store import CandleStorage, Database
with Database.open(Path(sys.argv[1]), "binance") as database:
    storage, start, index = CandleStorage(database), int(sys.argv[2]), 0
    print("open", flush=True)
    for line in sys.stdin:
        storage.write([Candle(
            symbol="BTC/USDT", timeframe="1h", timestamp=start, open=1.0, high=2.0, low=1.0,
            close=2.0, volume=1.0, closed=True, source=CandleSource.STREAM)], now=1)
        start += 3_600_000
        print("written", flush=True)
"""


@pytest.fixture
def writer(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    """A process that writes the database of the lab, one candle a line of its input."""
    command = [sys.executable, "-c", HOLDER, str(lab.database), str(T0 + 700 * HOUR)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_lab_reads_beside_a_process_that_writes(lab: Lab, writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None and writer.stdout is not None
    for count in (701, 702, 703):
        writer.stdin.write("next\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "written\n"
        assert len(lab.candles("BTC/USDT", "1h")) == count


def test_an_import_and_a_download_say_which_process_holds_the_lock(
    lab: Lab, writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    path = tmp_path / "BTCUSDT-1h.csv"
    path.write_text("timestamp,open,high,low,close,volume\n1733011200000,1,2,1,2,3\n")
    for work in (
        lambda: lab.import_files(path),
        lambda: lab.download("BTC/USDT", "1h", since="3d"),
    ):
        with pytest.raises(StoreLocked, match=rf"process {writer.pid} \(.*python.*bot\.download"):
            work()


READER = """
import sys, botlib as bl
lab = bl.research()
print(len(lab.candles("BTC/USDT", "1h")), flush=True)
print(len(lab.backtest(bl.TrendCross(fast=5, slow=12, timeframes=("1h",)), "BTC/USDT").fills))
"""


def test_two_kernels_research_one_database_at_once(lab: Lab) -> None:
    expected = len(lab.backtest(TREND, "BTC/USDT").fills)
    with process(READER) as one, process(READER) as other:
        for child in (one, other):
            assert line(child) == "700"
        for child in (one, other):
            found = [text for text in child.stdout or () if text.strip().isdecimal()]
            assert [int(text) for text in found] == [expected]
            assert child.wait(60) == 0


def test_research_loads_no_exchange_library_and_no_pandas_until_a_frame_is_read(lab: Lab) -> None:
    code = (
        "import sys, botlib as bl; lab = bl.research(); "
        "print([m for m in ('ccxt', 'vectorbt', 'pandas', 'pydantic', 'aiohttp.web') "
        "if m in sys.modules]); lab.candles('BTC/USDT', '1h'); print('ccxt' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert out.stdout.splitlines() == ["[]", "False"]


def test_a_download_without_a_network_fails_with_the_venue_and_leaves_nothing(home: Path) -> None:
    with pytest.raises(ExchangeUnavailable):
        bl.research().download("BTC/USDT", "1h", since="3d")
    assert not database_path(home, "binance").exists()


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    arguments = ["--seed", "42", "--lockstep", "--start", "2026-01-05"]
    exchange = asyncio.run(PaperProcess.start(arguments))
    yield exchange
    asyncio.run(exchange.stop())


def test_a_download_stores_candles_and_the_markets_of_the_venue(
    home: Path, paper: PaperProcess
) -> None:
    lab = bl.research(PAPER)
    with pytest.raises(InvalidInput, match="url="):
        lab.download("BTC/USDT", "1h", since="3d")
    assert lab.download("BTC/USDT", "1h", since="3d", url=paper.url).stored == 72
    assert "nothing is missing" in str(lab.download("BTC/USDT", "1h", since="3d", url=paper.url))
    assert len(lab.candles("BTC/USDT", "1h")) == 72
    market = lab.market("BTC/USDT")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert not market.shipped and market.source == f"read from {PAPER}, as of {today}"
    stored = json.loads(market_list_path(lab.database).read_text())
    assert stored["complete"] and "BTC/USDT" in stored["markets"]
    assert market_list_path(lab.database).stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidInput, match="is paper:synthetic:seed=42, not"):
        bl.research("paper:synthetic:seed=7").download("BTC/USDT", "1h", since="3d", url=paper.url)


def test_recorded_real_candles_are_researched(home: Path, recorded: Callable[[str], Path]) -> None:
    lab = bl.research()
    report = lab.import_files(
        [
            recorded("candles/BTCUSDT-1m-20241130-20241229.csv.gz"),
            recorded("candles/ETHUSDT-1h-20191204-20251102.csv.gz"),
            recorded("candles/BURGERUSDT-1m-20210402-20210514.csv.gz"),
        ]
    )
    assert not report.failed
    frame = lab.candles("BTC/USDT", "1m")
    assert len(frame) == 41_761
    result = lab.backtest(
        bl.TrendCross(timeframes=("15m",)), "BTC/USDT", since="2024-12-10", until="2024-12-20"
    )
    assert len(result.fills) and result.fills.price[0] > 90_000
    assert "99.93\u2009%" in str(lab.data_report("ETH/USDT"))
    listed = lab.candles("BURGER/USDT", "1h", since="2021-04-02").index[0]
    assert listed == pd.Timestamp("2021-04-30 12:00")


def test_the_shipped_values_agree_with_a_recorded_answer_of_the_venue(
    home: Path, recorded: Callable[[str], Path]
) -> None:
    from botlib.venues.binance import parse
    from botlib.venues.registry import shipped_markets

    shipped = shipped_markets("binance")
    assert shipped is not None and len(shipped.markets) == 50
    answer = json.loads(
        recorded("fixtures/rest/exchangeInfo_binance_spot_20250807_gct.json").read_text()
    )
    compared = 0
    for entry in answer["symbols"]:
        name = f"{entry['baseAsset']}/{entry['quoteAsset']}"
        if name in shipped.markets:
            real, ours = parse.market(name, entry), shipped.markets[name]
            assert (ours.tick, ours.step) == (real.tick, real.step), name
            assert (ours.min_amount, ours.min_cost) == (real.min_amount, real.min_cost), name
            compared += 1
    assert compared >= 2


def test_a_year_of_minutes_is_there_in_time(home: Path) -> None:
    with Database.open(database_path(home, "binance"), "binance") as database:
        database.register("BTC/USDT")
        with database.writing() as connection:
            connection.executemany(
                "INSERT INTO candles VALUES "
                "('BTCUSDT', '1m', ?, 1.0, 2.0, 1.0, 1.5, 3.0, 1, 'import', 0, NULL)",
                [(T0 + index * MINUTE,) for index in range(525_600)],
            )
    taken = []
    for _ in range(8):
        begun = time.perf_counter()
        frame = bl.research().candles("BTC/USDT", "1m", since="365d")
        taken.append(time.perf_counter() - begun)
        assert len(frame) == 525_600
    # Ten times the bound of a quiet machine: other tests may run beside this one.
    assert min(taken[1:]) < 0.5, taken


def test_every_error_is_one_of_the_kit(lab: Lab) -> None:
    for call in (
        lambda: lab.candles("BTC/USDT", "1h", since="tomorrow"),
        lambda: lab.candles("", "1h"),
        lambda: lab.backtest(bl.TrendCross(), "BTC/USDT"),
        lambda: lab.sweep(bl.TrendCross, "BTC/USDT", fast=[1, 2]),
        lambda: lab.check(TREND),
        lambda: lab.download("BTC/USDT", "1h", since="3d", url="http://127.0.0.1:1"),
    ):
        with pytest.raises(BotlibError):
            call()


def test_the_working_directory_may_be_any_folder_of_the_project(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BOTLIB_HOME")
    (tmp_path / "pyproject.toml").touch()
    inner = tmp_path / "notebooks" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert bl.research().database == lab.database
    assert bl.research(data_directory=os.path.relpath(tmp_path / "data")).candles(
        "BTC/USDT", "1h"
    ).shape == (700, 5)
