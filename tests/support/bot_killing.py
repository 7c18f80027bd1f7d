"""Kill and stop a real bot process at random moments, and compare it with its exchange each time.

Run as a program of its own: ``bot_killing.py DIRECTORY KILLS STOPS SEED``. A paper exchange runs in
a process of its own at high speed. The bots are forked, so that none starts an interpreter: an
engine with two strategies on two symbols, with stops, targets and trailing stops. A part of the
kills comes while a bot starts. It prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import botlib.venues.binance.venue  # noqa: F401  # imported once, before the first fork
from botlib.config import Settings
from botlib.core.errors import BotlibError
from botlib.engine import Orchestrator
from botlib.frames import Frames
from botlib.invariants import BotRecord, InvariantChecker, InvariantReport, VenueRecord
from botlib.invariants.rules import fills_are_trades, held
from botlib.paper import PaperControl, PaperProcess
from botlib.simulation import simulate
from botlib.store import Database, OrderJournal
from botlib.strategy import Signals, Strategy
from botlib.trading.risk import RiskLimits
from botlib.trading.sizing import round_down

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT")
STREAMS: Final = tuple((symbol, "1m") for symbol in SYMBOLS)
STEPS: Final = {"BTC/USDT": Decimal("0.00001"), "ETH/USDT": Decimal("0.0001")}
SPEED: Final = 60
LIVES: Final = 60
"""Ends of a bot per exchange and database."""
READY_WITHIN: Final = 60.0
CONVERGES_WITHIN: Final = 30.0
STOPS_WITHIN: Final = 30.0
LEFT_OVER: Final = 3
"""Exit code of a bot that could not do everything before it ended, and said so."""
GRACE: Final = 10.0
SPARE: Final = 3.0
AT_LAST: Final = 40.0
"""Seconds after which a position has its stop, even if entries were halted before: an order that
was cut off may arrive for some seconds, and nothing takes its place before."""
EARLY: Final = 0.2
"""Fraction of the kills that come while the bot starts."""

LIMITS: Final = RiskLimits(
    max_order_cost=Decimal(500),
    max_exposure=Decimal(2_500),
    max_open_orders=5,
    max_orders_per_minute=100,
    max_daily_loss=Decimal(5_000),
)


class Restless(Strategy):
    """Buys on even minutes and sells on odd ones."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        """Return an entry on every even minute and an exit on every odd one."""
        even = data.frame.index.to_series().dt.minute % 2 == 0
        return Signals(entry=even, exit=~even)


@dataclass
class Outcome:
    """What the ends of the bots came to."""

    kills: int = 0
    early_kills: int = 0
    stops: int = 0
    orders: int = 0
    trades: int = 0
    stop_orders: int = 0
    recovered_slowest: float = 0.0
    """Seconds from the start of a bot until every invariant held."""
    protected_slowest: float = 0.0
    """Seconds from then until every position had its stop."""
    stopped_slowest: float = 0.0
    left_over: int = 0
    """Stops that could not settle an order a kill before had cut off, and said so."""
    halts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def settings(directory: Path, url: str) -> Settings:
    """Return the settings of the bots."""
    return Settings.load(None).override(
        {
            "symbols": list(SYMBOLS),
            "timeframes": ["1m"],
            "history": 30,
            "data_directory": str(directory / "data"),
            "health": {"port": 0, "candle_deadline": "1h"},
            "paper": {"url": url},
            "tasks": {
                "order_sync": {"interval": "2s"},
                "position_monitoring": {"interval": "2s"},
            },
            "risk": {name: _plain(value) for name, value in asdict(LIMITS).items() if value},
            "strategies": [],
        }
    )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value


async def trade(configured: Settings, pipe: int) -> int:
    """Run a bot until it is killed or stopped; return its exit code."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = Orchestrator(configured)
    await engine.start()
    if engine.halts.first:
        engine.halts.rearm("the soak goes on")
    await engine.trade(Restless(stop_loss=0.002, take_profit=0.003), SYMBOLS[0], name="restless")
    await engine.trade(Restless(trailing_stop=0.002), SYMBOLS[1], name="trailing")
    os.write(pipe, str(engine.database).encode())
    await stop.wait()
    await engine.stop()
    sys.stderr.write("".join(f"left over: {words}\n" for words in engine.left_over))
    return LEFT_OVER if engine.left_over else 0


@contextmanager
def exchange(directory: Path, seed: int) -> Iterator[PaperProcess]:
    """Run a paper exchange in a process of its own."""
    words = ["--seed", str(seed), "--symbols", ",".join(SYMBOLS), "--speed", str(SPEED)]
    words += ["--start", "2026-01-05", "--ledger", str(directory / "ledger.db")]
    process = asyncio.run(PaperProcess.start(words, log=directory / "exchange.log"))
    try:
        yield process
    finally:
        asyncio.run(process.stop())


class Killer:
    """Ends bots of one exchange and database, and checks what they left.

    Args:
        directory: for the files of exchange and bots.
        rng: draws the moments.
    """

    def __init__(
        self, directory: Path, process: PaperProcess, rng: random.Random, outcome: Outcome
    ) -> None:
        self.rng, self.outcome, self.process = rng, outcome, process
        self.settings = settings(directory, process.url)
        self.log = directory / "bots.log"
        self.database: Path | None = None
        self.baseline: dict[str, Decimal] = {}

    def run(self, kinds: str) -> None:
        """End a bot for every letter: ``k`` kills it, ``t`` stops it by SIGTERM."""
        asyncio.run(self._begin())
        for kind in kinds:
            self._live(kind)
        pid, _ = self._fork()
        self._end(pid, signal.SIGKILL)
        asyncio.run(self._count())

    def _live(self, kind: str) -> None:
        pid, reading = self._fork()
        began = time.monotonic()
        early = kind == "k" and self.rng.random() < EARLY
        if early:
            time.sleep(self.rng.random() * 0.6)
            self.outcome.early_kills += 1
        else:
            self._await_ready(pid, reading)
            report = asyncio.run(self._converged())
            took = time.monotonic() - began
            self.outcome.recovered_slowest = max(self.outcome.recovered_slowest, took)
            self.outcome.violations += [str(one) for one in report.violations]
            self.outcome.violations += self._protected()
            self._note_halts()
            time.sleep(self.rng.random() * 1.5)
        if kind == "k":
            self._end(pid, signal.SIGKILL)
            self.outcome.kills += 1
        else:
            began = time.monotonic()
            code = self._end(pid, signal.SIGTERM)
            took = time.monotonic() - began
            self.outcome.stopped_slowest = max(self.outcome.stopped_slowest, took)
            self.outcome.stops += 1
            self.outcome.violations += asyncio.run(self._left(code, took))
        os.close(reading)

    def _protected(self) -> list[str]:
        """Wait until every position has its stop; return what is wrong if none comes.

        An order whose request was cut off by a kill may still arrive for a while: until that is
        over nothing takes its place, and entries are halted after the grace.
        """
        began = time.monotonic()
        while bare := asyncio.run(self._bare()):
            took = time.monotonic() - began
            if (took > GRACE + SPARE and not self._halts()) or took > AT_LAST:
                return [f"after a start, for {took:.0f} s: {one}" for one in bare]
            time.sleep(0.1)
        took = time.monotonic() - began
        self.outcome.protected_slowest = max(self.outcome.protected_slowest, took)
        return []

    async def _bare(self) -> list[str]:
        """Return which positions have no stop at the venue."""
        assert self.database is not None
        async with _control(self.process.url) as control:
            venue = VenueRecord.read(await control.ledger())
        bot = BotRecord.read(self.database, self.process.venue, (), {})
        found = []
        for symbol in SYMBOLS:
            amount = round_down(held(bot, symbol), STEPS[symbol])
            traded = [one for one in venue.trades if one.symbol == symbol.replace("/", "")]
            covered = sum(
                (
                    one.amount - one.executed
                    for one in venue.orders
                    if one.open and one.stop_price and one.symbol == symbol.replace("/", "")
                ),
                Decimal(0),
            )
            # Less than the least order cannot be protected.
            if covered < amount and traded and amount * traded[-1].price > 10:
                found.append(f"I6 {amount} {symbol}, stops for {covered}")
        return found

    def _fork(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            code = 1
            try:
                log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1)
                os.dup2(log, 2)
                code = asyncio.run(trade(self.settings, writing))
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        return pid, reading

    def _await_ready(self, pid: int, reading: int) -> None:
        os.set_blocking(reading, False)
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            try:
                text = os.read(reading, 4_096)
            except BlockingIOError:
                time.sleep(0.02)
                continue
            if not text:
                raise AssertionError(f"the bot {pid} did not start: {_tail(self.log)}")
            self.database = Path(text.decode())
            return
        raise AssertionError(f"the bot {pid} was not ready in time: {_tail(self.log)}")

    def _end(self, pid: int, number: int) -> int:
        os.kill(pid, number)
        until = time.monotonic() + STOPS_WITHIN
        while time.monotonic() < until:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return -1

    # What has to hold

    async def _begin(self) -> None:
        async with _control(self.process.url) as control:
            venue = VenueRecord.read(await control.ledger())
        for symbol in SYMBOLS:
            base = symbol.split("/")[0]
            self.baseline[base] = venue.balance(base)

    async def _converged(self) -> InvariantReport:
        assert self.database is not None
        async with _control(self.process.url) as control:
            checker = InvariantChecker(
                control,
                database=self.database,
                venue=self.process.venue,
                streams=STREAMS,
                limits=LIMITS,
                stops=lambda symbol: True,
                steps=STEPS,
                halted=lambda: next(iter(self._halts()), None),
            )
            checker._baseline = dict(self.baseline)
            report = await checker.converge(CONVERGES_WITHIN)
            # A position that is bare now has to be protected within the grace of the checker.
            return report

    async def _left(self, code: int, took: float) -> list[str]:
        """Return what is wrong after a bot was stopped in order."""
        assert self.database is not None
        async with _control(self.process.url) as control:
            venue = VenueRecord.read(await control.ledger())
        bot = BotRecord.read(self.database, self.process.venue, (), {})
        found = (
            []
            if code == 0
            else [f"SIGTERM: exit code {code} after {took:.1f} s: {_tail(self.log)[-300:]}"]
        )
        found += [f"after SIGTERM: {one}" for one in fills_are_trades(bot, venue)]
        if not self._halts():
            found += [f"after SIGTERM: {one}" for one in await self._bare()]
        return found

    def _halts(self) -> list[str]:
        assert self.database is not None
        database = Database.open(self.database, self.process.venue, readonly=True)
        try:
            return [one.reason for one in OrderJournal(database).halts()]
        finally:
            database.close()

    def _note_halts(self) -> None:
        for reason in self._halts():
            self.outcome.halts[reason] = self.outcome.halts.get(reason, 0) + 1

    async def _count(self) -> None:
        async with _control(self.process.url) as control:
            venue = VenueRecord.read(await control.ledger())
        self.outcome.orders += len(venue.orders)
        self.outcome.trades += len(venue.trades)
        self.outcome.stop_orders += sum(one.stop_price > 0 for one in venue.orders)


class _control:
    """The control API of an exchange, closed at the end."""

    def __init__(self, url: str) -> None:
        self._control = PaperControl(url)

    async def __aenter__(self) -> PaperControl:
        return self._control

    async def __aexit__(self, *error: object) -> None:
        await self._control.close()


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1_500:] if path.exists() else ""


def kill_bots(directory: Path, kills: int, stops: int, seed: int) -> Outcome:
    """Kill and stop bots, spread over exchanges and databases; return what came of it."""
    # Everything is imported and compiled once, before the first fork.
    simulate(strategies=Restless(stop_loss=0.01), symbols=list(SYMBOLS[:1]), run_for="10m")
    rng, outcome = random.Random(seed), Outcome()
    kinds = ["k"] * kills + ["t"] * stops
    rng.shuffle(kinds)
    for first in range(0, len(kinds), LIVES):
        place = directory / str(first)
        place.mkdir(parents=True)
        with exchange(place, seed + first) as process:
            try:
                Killer(place, process, rng, outcome).run("".join(kinds[first : first + LIVES]))
            except (AssertionError, BotlibError) as error:
                outcome.violations.append(str(error))
        if len(outcome.violations) > 20:
            break
    return outcome


def main(arguments: list[str]) -> None:
    """Print what came of the kills, as a line of JSON."""
    directory, kills, stops, seed = arguments
    outcome: dict[str, Any] = asdict(kill_bots(Path(directory), int(kills), int(stops), int(seed)))
    sys.stdout.write(json.dumps(outcome) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
