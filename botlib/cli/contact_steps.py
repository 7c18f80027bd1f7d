"""The steps of ``botlib first-contact`` that a user takes without a key: download, mirror, watch.

Each works in a folder that is deleted again. The venue is only read: what is bought on the mirror
is bought with play money on this computer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.cli.data import market_at
from botlib.core.errors import BotlibError
from botlib.venues.registry import DEFAULT_VENUE, build_exchange

if TYPE_CHECKING:
    from botlib.paper import MirrorState, PaperControl, PaperProcess
    from botlib.venues.binance.first_contact import Comparison

SYMBOL: Final = "BTC/USDT"
TIMEFRAME: Final = "1m"
PATIENCE: Final = 45.0
"""Seconds within which a mirror follows the venue, or a watched candle comes."""
COST: Final = Decimal(100)
"""Quote units that are spent on the mirror."""

_HEARD: Final = ("botlib.venues", "botlib.market_data")
"""Loggers whose warnings are about the venue."""

Step = Callable[[str | None, "Comparison", Path], Awaitable[None]]


async def download(url: str | None, found: Comparison, directory: Path) -> None:
    """Download a few candles as research does."""
    from botlib.lab.stored import StoredMarket

    venue = DEFAULT_VENUE if url is None else await market_at(url)
    market = StoredMarket(directory, venue)
    report = await market.download(SYMBOL, TIMEFRAME, "1h", None, url=url)
    if not report.stored:
        found.differs("download", "no candles", "", str(report))


async def mirror(url: str | None, found: Comparison, directory: Path) -> None:
    """Follow the venue with a paper exchange, and buy something there."""
    from botlib.paper import PaperProcess

    words = ["--mirror", DEFAULT_VENUE, "--symbols", SYMBOL, "--balance", f"USDT={10 * COST}"]
    if url is not None:
        words += ["--upstream", url]
    log = directory / "mirror.log"
    async with (
        await PaperProcess.start(words, log=log) as process,
        process.control() as control,
    ):
        state = await _followed(control)
        if state is None or state.stale or not state.frames:
            reason = state.reason if state is not None else "it is no mirror"
            what = "stale" if reason else "no frame"
            found.differs("mirror", what, "", f"after {PATIENCE:g} s: {reason or 'none came'}")
        else:
            await _buy(process, found)
        last = await control.mirror()
        if last is not None and last.malformed:
            found.differs("mirror", "unreadable frames", str(last.malformed), _unread(log))


async def _followed(control: PaperControl) -> MirrorState | None:
    """Return the state of a mirror when it follows the venue, or after a while."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while True:
        state = await control.mirror()
        if state is None or loop.time() >= end or (state.frames and not state.stale):
            return state
        await asyncio.sleep(0.2)


async def _buy(process: PaperProcess, found: Comparison) -> None:
    """Buy at the market with play money, by the lots and at the prices of the venue."""
    from botlib.core.model import OrderIntent, OrderStatus, OrderType, Side
    from botlib.core.timeframe import MINUTE
    from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET
    from botlib.trading.sizing import amount_for

    exchange = build_exchange(
        process.venue, rest_url=process.url, keys=(PAPER_API_KEY, PAPER_API_SECRET)
    )
    try:
        await exchange.connect()
        market = exchange.market(SYMBOL)
        now = await exchange.market_time()
        candles = await exchange.fetch_candles(
            SYMBOL, TIMEFRAME, now - 10 * MINUTE, now, now=now, forming=True
        )
        if not market.active or not candles:
            found.differs("mirror", "not traded", SYMBOL, f"active {market.active}, {candles[-1:]}")
            return
        intent = OrderIntent(
            client_order_id="first-contact",
            strategy="first-contact",
            symbol=SYMBOL,
            side=Side.BUY,
            type=OrderType.MARKET,
            amount=amount_for(COST, Decimal(str(candles[-1].close)), market),
        )
        report = await exchange.place_order(intent)
        if report.status is not OrderStatus.FILLED:
            found.differs("mirror", "not filled", SYMBOL, repr(report))
    finally:
        await exchange.close()


def _unread(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if "cannot be" in line]
    return lines[-1].partition(": ")[2] if lines else ""


async def watch(url: str | None, found: Comparison, directory: Path) -> None:
    """Watch the venue as ``bl.connect(market="binance")`` does, until a candle has moved."""
    from botlib.config import Settings
    from botlib.engine import Orchestrator

    settings = Settings.from_dict(
        {
            "mode": "watch",
            "data_directory": directory,
            "symbols": [SYMBOL],
            "timeframes": [TIMEFRAME],
            "history": 60,
            "strategies": [],
            "health": {"port": 0},
            "exchange": {"url": url},
        }
    )
    engine = Orchestrator(settings)
    await engine.start()
    try:
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while not (feed := engine.stream.status().subscriptions[0]).frames:
            if loop.time() >= end:
                found.differs("watch", "no candle", SYMBOL, f"none came in {PATIENCE:g} s")
                break
            await asyncio.sleep(0.2)
        if feed.bad_frames:
            found.differs("watch", "unusable frames", str(feed.bad_frames))
    finally:
        await engine.stop()


STEPS: Final[dict[str, Step]] = {"download": download, "mirror": mirror, "watch": watch}
"""The steps by their names."""


async def take(name: str, url: str | None, found: Comparison, directory: Path) -> None:
    """Run a step; an error and a warning about the venue are differences.

    Args:
        name: of the step.
        url: address of a paper exchange that stands in for the venue; None is the real venue.
        found: what differs.
        directory: an empty folder.
    """
    with _warnings() as heard:
        try:
            await STEPS[name](url, found, directory)
        except BotlibError as error:
            found.differs(name, "refused", "", str(error))
    for record in heard:
        found.differs(name, "warning", record.name.removeprefix("botlib."), record.getMessage())
    found.compared.append(name)


@contextmanager
def _warnings() -> Iterator[list[logging.LogRecord]]:
    """Collect the warnings about the venue; those about this computer are not shown."""
    heard: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.startswith(_HEARD):
                heard.append(record)

    logger, collector = logging.getLogger("botlib"), Collector(logging.WARNING)
    logger.addHandler(collector)
    try:
        yield heard
    finally:
        logger.removeHandler(collector)
