"""Downloads of history, from a real paper exchange and from a venue in memory with any gaps."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.core.errors import ExchangeUnavailable, InvalidInput, StoreError, UnknownSymbol
from botlib.core.model import CandleSource
from botlib.core.timeframe import DAY, HOUR, MINUTE
from botlib.market_data import history as module
from botlib.market_data.gaps import absent
from botlib.market_data.history import FetchReport, History, download, grouped
from botlib.paper import PaperControl, PaperProcess
from botlib.store import CandleStorage, Database, database_path
from botlib.venues.binance.venue import BinanceExchange
from tests.support.candle_venue import CandleVenue, candle

NOW = 1_767_571_200_000  # 2026-01-05 00:00
VENUE = "paper:synthetic:seed=5"


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperProcess]:
    """A synthetic market that stands still, shared by the tests of this module."""
    arguments = ["--seed", "5", "--lockstep", "--start", "2026-01-05"]
    process = asyncio.run(PaperProcess.start(arguments))
    yield process
    asyncio.run(process.stop())


def client(process: PaperProcess, control: PaperControl, **options: Any) -> BinanceExchange:
    async def market_time() -> int:
        return int((await control.state())["market_time"])

    return BinanceExchange(
        venue=process.venue, rest_url=process.url, market_time=market_time, **options
    )


@asynccontextmanager
async def connected(
    process: PaperProcess, path: Path, **options: Any
) -> AsyncIterator[tuple[History, CandleStorage, PaperControl]]:
    control = process.control()
    exchange = client(process, control, **options)
    try:
        await exchange.connect()
        with Database.open(path / "candles.db", process.venue) as database:
            storage = CandleStorage(database)
            yield History(exchange, storage), storage, control
    finally:
        await exchange.close()
        await control.close()


async def test_a_span_is_fetched_once_and_only_its_missing_candles(
    paper: PaperProcess, tmp_path: Path
) -> None:
    steps: list[tuple[int, int]] = []
    async with connected(paper, tmp_path) as (history, storage, _):
        report = await history.fetch(
            "BTCUSDT", "1m", "2d", progress=lambda *step: steps.append(step)
        )
        assert (report.symbol, report.start, report.end) == (
            "BTC/USDT", NOW - 2 * DAY, NOW - MINUTE,
        )  # fmt: skip
        assert (report.missing, report.stored, report.holes, report.unsettled) == (
            2_880, 2_880, 0, 0,
        )  # fmt: skip
        # One asks for the venue's first candle, three bring a thousand each.
        assert report.requests == 4
        assert steps[0] == (0, 2_880)
        assert steps[-1] == (2_880, 2_880)
        assert steps == sorted(steps)
        again = await history.fetch("BTC/USDT", "1m", "2d")
        assert (again.missing, again.requests) == (0, 0)
        assert str(again).endswith("nothing is missing")
        wider = await history.fetch("BTC/USDT", "1m", "2026-01-02T12:00", "2026-01-03T06:00")
        assert (wider.stored, wider.requests) == (720, 2)
        found = storage.candles("BTC/USDT", "1m")
        assert [c.timestamp for c in found] == list(range(NOW - 2 * DAY - 12 * HOUR, NOW, MINUTE))
        assert {candle.source for candle in found} == {CandleSource.REST}
        truth = await history._exchange.fetch_candles("BTC/USDT", "1m", NOW - 2 * DAY, NOW, now=NOW)
        assert found[-2_880:] == truth


async def test_a_frame_fetches_its_missing_candles(paper: PaperProcess, tmp_path: Path) -> None:
    async with connected(paper, tmp_path) as (history, storage, _):
        frame = await history.frame("BTC/USDT", "1h", since="10d", until="5d")
        assert len(frame) == 121
        assert frame.index[0].timestamp() * 1_000 == NOW - 10 * DAY
        assert len(await history.frame("BTC/USDT", "1h")) == 121  # only stored candles
        assert len(await history.frame("BTC/USDT", "4h", limit=30)) == 30
        assert storage.last_closed("BTC/USDT", "4h") == NOW - 4 * HOUR
        assert len(await history.frame("BTC/USDT", "1h", since="10d", limit=7)) == 7
        assert len(await history.frame("BTC/USDT", "1d", limit=0)) == 0
        assert list(frame.columns) == ["open", "high", "low", "close", "volume"]


async def test_invalid_input_is_refused_with_an_explanation(
    paper: PaperProcess, tmp_path: Path
) -> None:
    async with connected(paper, tmp_path) as (history, storage, _):
        with pytest.raises(UnknownSymbol, match="Did you mean 'BTC/USDT'"):
            await history.fetch("BTC/USDX", "1m", "1d")
        with pytest.raises(InvalidInput, match="Unknown timeframe '7m'"):
            await history.fetch("BTC/USDT", "7m", "1d")
        with pytest.raises(InvalidInput, match="in the future of the market"):
            await history.fetch("BTC/USDT", "1m", "2026-01-05T00:01")
        with pytest.raises(InvalidInput, match="the end is before the start"):
            await history.fetch("BTC/USDT", "1m", "1d", "2d")
        with pytest.raises(InvalidInput, match="Cannot use 'yesterday' as a time"):
            await history.fetch("BTC/USDT", "1m", "yesterday")
        # A candle that still forms is none yet.
        report = await history.fetch("BTC/USDT", "1h", "now")
        assert (report.missing, report.requests) == (0, 0)
        assert storage.counts() == {}


async def test_a_slow_down_answer_delays_the_download(paper: PaperProcess, tmp_path: Path) -> None:
    async with connected(paper, tmp_path) as (history, _, control):
        await control.fault("http_status", status=429, retry_after=1, count=2, match="klines")
        began = asyncio.get_running_loop().time()
        report = await history.fetch("BTC/USDT", "1m", "6h")
        assert report.stored == 360
        assert asyncio.get_running_loop().time() - began >= 2.0


async def struck(control: PaperControl) -> int:
    counters = (await control.state())["counters"]
    return int(counters["faults"].get("http_status", 0))


async def test_after_a_long_ban_no_further_request_is_sent(
    paper: PaperProcess, tmp_path: Path
) -> None:
    async with connected(paper, tmp_path) as (history, _, control):
        await control.fault("http_status", status=418, retry_after=300, count=9, match="klines")
        before = await struck(control)
        with pytest.raises(ExchangeUnavailable, match=r"asks to wait 300 s.*0 candles of BTC/USDT"):
            await history.fetch("BTC/USDT", "1m", "6h")
        assert await struck(control) == before + 1
        await control.fault("http_status", count=0)
        # The ban holds, whether the venue would answer by now or not: it grows with every request.
        with pytest.raises(ExchangeUnavailable, match="asks to wait"):
            await history.fetch("BTC/USDT", "1m", "6h")
        assert await struck(control) == before + 1


async def test_a_dropped_connection_only_delays_the_download(
    paper: PaperProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    async with connected(paper, tmp_path) as (history, _, control):
        orders: list[asyncio.Task[Any]] = []

        def disturb(done: int, _: int) -> None:
            if 1_000 <= done < 3_000 and not orders:
                fault = control.fault("http_status", status=502, count=3, match="klines")
                orders.append(asyncio.get_running_loop().create_task(fault))

        report = await history.fetch("ETH/USDT", "1m", "5d", progress=disturb)
        await asyncio.gather(*orders)
        assert (report.stored, report.unsettled) == (7_200, 0)
        assert report.requests > 9


async def test_candles_received_before_the_venue_goes_away_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    arguments = ["--seed", "5", "--lockstep", "--start", "2026-01-05"]
    process = await PaperProcess.start(arguments)
    try:
        async with connected(process, tmp_path) as (history, storage, _):

            def kill(done: int, _: int) -> None:
                if done >= 2_000:
                    process.kill()

            with pytest.raises(ExchangeUnavailable, match=r"No answer .* the same call goes on"):
                await history.fetch("BTC/USDT", "1m", "5d", progress=kill)
            kept = storage.counts()["BTC/USDT", "1m"]
            assert 2_000 <= kept < 7_200
    finally:
        await process.stop()
    async with await PaperProcess.start(arguments) as process:
        async with connected(process, tmp_path) as (history, storage, _):
            report = await history.fetch("BTC/USDT", "1m", "5d")
            assert report.stored == 7_200 - kept
            assert storage.missing("BTC/USDT", "1m", NOW - 5 * DAY, NOW - MINUTE) == []


async def test_a_cancelled_download_continues_where_it_stopped(
    paper: PaperProcess, tmp_path: Path
) -> None:
    async with connected(paper, tmp_path) as (history, storage, _):
        came = asyncio.Event()
        last = 0

        def watch(done: int, _: int) -> None:
            nonlocal last
            last = done
            if done >= 3_000:
                came.set()

        task = asyncio.get_running_loop().create_task(
            history.fetch("BTC/USDT", "1m", "10d", progress=watch)
        )
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept = storage.counts()["BTC/USDT", "1m"]
        assert 3_000 <= kept == last < 14_400
        report = await history.fetch("BTC/USDT", "1m", "10d")
        assert report.stored == 14_400 - kept


async def test_two_simultaneous_downloads_of_the_same_span_fetch_it_once(
    paper: PaperProcess, tmp_path: Path
) -> None:
    async with connected(paper, tmp_path) as (history, _, __):
        first, second = await asyncio.gather(
            history.fetch("BTC/USDT", "1m", "1d"), history.fetch("BTCUSDT", "1m", "1d")
        )
        assert (first.stored, second.stored, second.requests) == (1_440, 0, 0)


async def test_download_opens_and_closes_everything(paper: PaperProcess, tmp_path: Path) -> None:
    async with paper.control() as control:
        exchange = client(paper, control)
        report = await download(exchange, tmp_path, "BTC/USDT", "1h", "30d")
        assert report.stored == 720
        path = database_path(tmp_path, paper.venue)
        with Database.open(path, paper.venue) as database:
            assert CandleStorage(database).counts() == {("BTC/USDT", "1h"): 720}
            with pytest.raises(StoreError, match="is being written by this very process"):
                await download(client(paper, control), tmp_path, "BTC/USDT", "1h", "30d")


@pytest.mark.recorded
async def test_the_recorded_holes_are_found_once_and_never_requested_again(
    tmp_path: Path, recorded: Callable[[str], Path]
) -> None:
    file = recorded("candles/ETHUSDT-1h-20191204-20251102.csv.gz")
    with gzip.open(file, "rt") as lines:
        times = [int(line.split(",")[2]) for line in lines if not line.startswith("symbol")]
    arguments = ["--recording", str(file), "--lockstep", "--start", "2025-11-01"]
    async with await PaperProcess.start(arguments) as process:
        async with connected(process, tmp_path) as (history, storage, _):
            report = await history.fetch("ETH/USDT", "1h", "2019-01-01")
            known = [time for time in times if time <= report.end]
            assert [c.timestamp for c in storage.candles("ETH/USDT", "1h")] == known
            assert (report.stored, report.holes) == (len(known), 32)
            holes = storage.holes("ETH/USDT", "1h")
            assert [hole.cause for hole in holes] == ["before listing"] + [
                "absent at the venue"
            ] * 15
            assert holes[0].end == times[0] - HOUR
            assert report.before_listing == holes[0].candles
            again = await history.fetch("ETH/USDT", "1h", "2019-01-01")
            assert (again.missing, again.requests) == (0, 0)
            earlier = await history.fetch("ETH/USDT", "1h", "2018-06-01")
            assert (earlier.requests, earlier.holes, earlier.stored) == (1, 0, 0)
            assert len(storage.holes("ETH/USDT", "1h")) == 16
            assert str(earlier).endswith("5\u2009136 before listing")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_all_missing_candles_are_settled_despite_interruptions(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    timeframe, length = "1h", HOUR
    size = data.draw(st.integers(1, 80), label="candles")
    # Old enough that absence alone is proof, but for the last day.
    newest = NOW - length
    grid = [newest - i * length for i in range(size)][::-1]
    flags = st.lists(st.booleans(), min_size=size, max_size=size)
    there, stored = data.draw(flags, label="at the venue"), data.draw(flags, label="stored")
    page = data.draw(st.integers(3, 12), label="page")
    venue = CandleVenue(
        [t for t, is_there in zip(grid, there, strict=True) if is_there] + [NOW],
        timeframe,
        NOW,
        page=page,
    )
    own = [
        candle(t, timeframe)
        for t, is_there, is_stored in zip(grid, there, stored, strict=True)
        if is_there and is_stored
    ]
    path = tmp_path_factory.mktemp("history") / "candles.db"
    with pytest.MonkeyPatch.context() as patch, Database.open(path, VENUE) as database:
        patch.setattr(module, "RETRY_FIRST", 0.0)
        storage = CandleStorage(database)
        storage.write(own, now=NOW)
        history = History(venue, storage)  # type: ignore[arg-type]

        async def fetch(stop_after: int | None) -> FetchReport | None:
            venue.requests, venue.stop_after = 0, stop_after
            try:
                return await history.fetch("BTC/USDT", timeframe, grid[0])
            except asyncio.CancelledError:
                return None

        stops = data.draw(st.lists(st.integers(0, 4), max_size=5), label="interruptions")
        for stop in stops:
            venue.lag = data.draw(st.integers(0, 3), label="answers from a lagging copy")
            asyncio.run(fetch(stop))
        report = asyncio.run(fetch(None))
        assert report is not None
        truth = [t for t in venue.times if t <= newest]
        found = storage.candles("BTC/USDT", timeframe)
        assert [c.timestamp for c in found] == truth
        assert {c.close for c in found} <= {1.5}
        absent = [t for t in grid if t not in set(truth)]
        marked = [
            time
            for hole in storage.holes("BTC/USDT", timeframe)
            for time in range(hole.start, hole.end + length, length)
        ]
        assert marked == absent
        assert report.stored + report.holes + report.before_listing == report.missing
        again = asyncio.run(fetch(None))
        assert again is not None
        assert (again.requests, again.missing) == (0, 0)


async def test_a_lagging_copy_never_makes_a_hole_nor_an_unfinished_candle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    # The newest candle closed this very moment; the copy has it forming, and none behind it.
    times = [NOW - i * HOUR for i in range(5)][::-1]
    venue = CandleVenue(times, "1h", NOW)
    venue.lag = 3  # the first asks for the listing
    with Database.open(tmp_path / "candles.db", VENUE) as database:
        storage = CandleStorage(database)
        report = await History(venue, storage).fetch("BTC/USDT", "1h", NOW - 4 * HOUR)  # type: ignore[arg-type]
        assert (report.stored, report.holes, report.unsettled) == (4, 0, 0)
        assert {c.close for c in storage.candles("BTC/USDT", "1h")} == {1.5}
        assert report.requests > 2


async def test_a_recent_halt_is_not_recorded_as_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    times = [NOW - i * HOUR for i in range(40)][::-1][:-10]  # nothing for ten hours
    venue = CandleVenue(times, "1h", NOW)
    with Database.open(tmp_path / "candles.db", VENUE) as database:
        storage = CandleStorage(database)
        history = History(venue, storage)  # type: ignore[arg-type]
        report = await history.fetch("BTC/USDT", "1h", times[0])
        assert (report.stored, report.holes, report.unsettled) == (30, 0, 9)
        assert "9 not there yet" in str(report)
        assert venue.requests == 2 + 4
        venue.now += 2 * DAY  # still halted
        report = await history.fetch("BTC/USDT", "1h", times[0])
        assert (report.stored, report.unsettled) == (0, 24)
        assert report.holes == 9 + 24
        venue.times = [*venue.times, venue.now - HOUR, venue.now]  # trading again
        report = await history.fetch("BTC/USDT", "1h", times[0])
        assert (report.stored, report.holes, report.unsettled) == (1, 23, 0)


async def test_a_candle_off_the_grid_is_a_hole_and_does_not_stop_the_download(
    tmp_path: Path,
) -> None:
    times = [NOW - i * HOUR for i in range(100)][::-1]
    spoilt = [t + 17_000 if i in (40, 99) else t for i, t in enumerate(times)]
    with Database.open(tmp_path / "candles.db", VENUE) as database:
        storage = CandleStorage(database)
        history = History(CandleVenue(spoilt, "1h", NOW + 20_000), storage)  # type: ignore[arg-type]
        report = await history.fetch("BTC/USDT", "1h", times[0])
        assert (report.stored, report.holes, report.unsettled) == (98, 1, 0)


async def test_a_symbol_that_never_traded_yields_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST", 0.01)
    with Database.open(tmp_path / "candles.db", VENUE) as database:
        storage = CandleStorage(database)
        report = await History(CandleVenue([], "1h", NOW), storage).fetch(  # type: ignore[arg-type]
            "BTC/USDT", "1h", "3d"
        )
        assert (report.stored, report.unsettled) == (0, 24)


async def test_a_download_does_not_revise_an_imported_candle(tmp_path: Path) -> None:
    times = [NOW - i * HOUR for i in range(60)][::-1]
    with Database.open(tmp_path / "candles.db", VENUE) as database:
        storage = CandleStorage(database)
        storage.write([candle(times[30], "1h", close=1.75)], now=NOW)
        report = await History(CandleVenue(times, "1h", NOW), storage).fetch(  # type: ignore[arg-type]
            "BTC/USDT", "1h", times[0]
        )
        assert (report.stored, report.requests) == (58, 2)
        assert storage.candles("BTC/USDT", "1h", times[30], times[30])[0].close == 1.75


@given(st.integers(3, 2_000), st.sets(st.integers(0, 4_000)))
@settings(max_examples=100, deadline=None)
def test_groups_hold_every_run_in_order_and_fit_into_one_answer(page: int, known: set[int]) -> None:
    runs = absent(sorted(known), 0, 4_000, 1)
    groups = grouped(runs, 1, page)
    assert [run for group in groups for run in group] == runs
    assert all(len(g) == 1 or g[-1][1] - g[0][0] + 2 <= page for g in groups)
    flat = [time for first, last in runs for time in range(first, last + 1)]
    assert flat == sorted(set(range(4_001)) - known)
