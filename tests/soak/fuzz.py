"""Fuzzing: drawn requests to every endpoint, and drawn bytes to every reader of files.

The endpoints are those of the health page, of a paper exchange with its operator API, and of a
mirror whose venue sends and answers what is drawn as well.

Requests and files begin as good ones, so that they get past the first check, and are then changed:
values of other kinds and sizes, fields left out or given twice, bytes flipped, cut and repeated.
Nothing may crash, hang, fill the memory or be answered with 5xx; a file is read or refused with an
error of the kit. The same seed draws the same cases.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import os
import random
import shutil
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from botlib.config import Settings, example
from botlib.config.secrets import Secret
from botlib.control.requests import TOKEN_HEADER
from botlib.control.server import ControlServer
from botlib.core.errors import BotlibError
from botlib.paper import PAPER_API_KEY, PaperExchange, PaperOptions
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.api.parameters import ACCEPTED
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.operator.scenario import Scenario
from botlib.runs.runner import check_notebook
from botlib.store import CandleStorage, Database, OrderJournal
from botlib.store.files.reading import read_recording
from botlib.venues.market_list import MarketList
from botlib.venues.registry import shipped_markets
from tests.soak.certificate import Part
from tests.soak.fuzz_mirror import FuzzedMirror
from tests.support.fuzzing import NASTY, changed, drawn, signed

T0 = 1_767_571_200_000
PATIENCE = 30.0
"""Seconds after which a request or a file counts as hanging."""

GROWTH = 400 * 2**20
"""Bytes by which the memory may grow while cases are run, caches included."""

RAW_PATIENCE = 0.05
"""Seconds to wait for the answer to bytes that may be no whole request."""

REQUESTS_PER_ADDRESS = 50
"""Requests from one address, so that rate limits do not refuse the most of them."""

OPERATOR = (
    *("accounts", "deposit", "withdraw", "fees", "group", "permissions", "keys", "status"),
    *("mirror", "delist", "rules", "books", "candles", "state", "ledger", "advance", "fault"),
    *("scenario", "pause", "resume"),
)
FIELDS = (
    *("account", "asset", "amount", "bnb", "group", "permissions", "public_key", "symbol"),
    *("status", "timeframe", "start", "end", "streams", "acknowledged", "timeout", "kind", "steps"),
    *("seed", "balances", "tick", "lot"),
)
STREAMS = (
    "/ws",
    "/ws/btcusdt@kline_1m",
    "/stream?streams=btcusdt@trade/ethusdt@depth",
    "/ws-api/v3",
)
WS_METHODS = (
    *("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"),
    *("ping", "time", "depth", "klines", "order.place", "order.cancel", "order.status", "account"),
    *("session.logon", "session.status", "userDataStream.subscribe", "userDataStream.unsubscribe"),
)


class Servers:
    """A paper exchange and a health page on the running loop, and what went wrong in them."""

    def __init__(self, folder: Path, rng: random.Random, part: Part) -> None:
        self._rng = rng
        self._part = part
        self._folder = folder
        self._sent = 0
        self._session: aiohttp.ClientSession | None = None
        self._failures: list[str] = []
        self.answers: Counter[str] = Counter()
        """What was answered, by server and status."""

    async def start(self) -> None:
        options = PaperOptions(pace=MarketPace(None, lockstep=True), start=T0)
        self._exchange = PaperExchange(SyntheticMarket(3), options)
        self.paper = (await self._exchange.start()).url
        self._running = asyncio.get_running_loop().create_task(self._exchange.run())

        async def kill(reason: str, close: bool) -> dict[str, Any]:
            return {"killed": True, "done": [reason]}

        self._control = ControlServer(
            health=lambda: {"healthy": True, "reasons": []},
            tasks=lambda: {"tasks": []},
            kill=kill,
            token_file=lambda: self._folder / "bot.token",
            port=0,
        )
        await self._control.start()
        self.health = str(self._control.url)
        self.token = (self._folder / "bot.token").read_text().strip()
        self._mirror = FuzzedMirror(self._rng)
        await self._mirror.start()
        asyncio.get_running_loop().set_exception_handler(self._failed)

    async def stop(self) -> None:
        await self._close_session()
        await self._mirror.stop()
        await self._control.stop()
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._exchange.close()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failures.append(f"{context.get('message')}: {context.get('exception')!r}"[:300])

    async def case(self, number: int) -> None:
        """Send one drawn request and count what it violated."""
        kinds = (self._rest, self._rest, self._operator, self._kill, self._raw, self._frames)
        if self._rng.random() < 0.2:
            await self._mirror.case()
        # One of three requests to a paper exchange goes to the mirror.
        self._at = self.paper if self._rng.random() < 0.67 else self._mirror.url
        work = self._rng.choice(kinds)
        self._failures.clear()
        found: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                found = await work()
        except TimeoutError:
            found = [f"{work.__name__} hangs"]
        except (aiohttp.ClientError, ConnectionError, OSError) as error:
            if work not in (self._raw, self._frames):
                found = [f"{work.__name__}: no answer: {error!r}"]
        for running in (self._running, self._mirror.running):
            if running.done():
                found.append(f"an exchange ended: {running}")
        self._part.count(f"request {number}", [*found, *self._failures])

    # One kind of request each; they return what they violated.

    async def _rest(self) -> list[str]:
        rng = self._rng
        method, path = rng.choice(list(ACCEPTED))
        params = {
            name.rstrip("!"): drawn(name.rstrip("!"), rng)
            for name in ACCEPTED[method, path].split()
            if name.endswith("!") or rng.random() < 0.4
        }
        for name in list(params):
            if rng.random() < 0.05:
                del params[name]
        if rng.random() < 0.05:
            params[rng.choice(FIELDS)] = rng.choice(NASTY)
        headers = {"X-MBX-APIKEY": PAPER_API_KEY if rng.random() < 0.95 else str(rng.choice(NASTY))}
        query = signed(params, rng)
        if rng.random() < 0.1:
            headers["X-MBX-TIME-UNIT"] = str(rng.choice(("MICROSECOND", *NASTY)))
        return await self._ask(method, f"{self._at}/api/v3/{path}?{query}", b"", headers)

    async def _operator(self) -> list[str]:
        rng = self._rng
        name = rng.choice(OPERATOR)
        body: Any = {field: drawn(field, rng) for field in FIELDS if rng.random() < 0.4}
        if name == "advance" and not isinstance(body.get("timeout"), str):
            body["timeout"] = 0
        if name in ("fault", "scenario"):
            # Faults that can be performed do what is forbidden here: they hang and kill.
            body["kind"] = rng.choice(NASTY)
            body["steps"] = [{"at": "+1s", "fault": rng.choice(NASTY)}, *rng.sample(NASTY, 2)]
        if name in ("delist", "status", "rules") and body.get("symbol") == "BTCUSDT":
            body["symbol"] = "ETHUSDT"
        if name == "permissions":
            body["account"] = "alice"
        raw = json.dumps(body, default=str).encode()
        if rng.random() < 0.2:
            raw = changed(raw, rng)
            if name in ("fault", "scenario", "advance", "permissions"):
                raw = b"[" + raw
        method = "GET" if name in ("state", "ledger", "mirror") else "POST"
        return await self._ask(method, f"{self._at}/paper/v1/{name}", raw, {})

    async def _kill(self) -> list[str]:
        rng = self._rng
        path = rng.choice(("/health", "/api/v1/tasks/status", "/api/v1/kill", "/openapi.json"))
        body = {"reason": rng.choice(NASTY), "close_positions": rng.choice((*NASTY, True, False))}
        raw = json.dumps(body, default=str).encode()
        if rng.random() < 0.5:
            raw = changed(raw, rng)
        token = self.token if rng.random() < 0.8 else str(rng.choice(NASTY))
        method = "POST" if path.endswith("kill") else "GET"
        if rng.random() < 0.2:
            method = rng.choice(("GET", "POST", "PUT", "OPTIONS"))
        return await self._ask(method, self.health + path, raw, {TOKEN_HEADER: token})

    async def _ask(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> list[str]:
        session = await self._fresh()
        plain = {name: "".join(one for one in text if one.isprintable() and ord(one) < 256)
                 for name, text in headers.items()}  # fmt: skip
        async with session.request(method, url, data=body or None, headers=plain) as answer:
            text = await answer.text(errors="replace")
            server = "mirror" if url.startswith(self._mirror.url) else "exchange"
            server = "health page" if url.startswith(self.health) else server
            self.answers[f"{server} {answer.status}"] += 1
            if answer.status >= 500 and not self._lost(url, text):
                return [f"{method} {url[:200]} {body[:100]!r}: {answer.status} {text[:100]}"]
        return []

    def _lost(self, url: str, text: str) -> bool:
        """Return whether a mirror says that its venue does not answer, in the venue's words."""
        return url.startswith(self._mirror.url) and '"code":-1001' in text.replace(" ", "")

    async def _raw(self) -> list[str]:
        rng = self._rng
        target = rng.choice((self._at, self.health))
        port = int(target.rpartition(":")[2])
        path = rng.choice(("/health", "/api/v3/time", "/api/v1/kill", "/paper/v1/state", "/ws"))
        head = (
            f"{rng.choice(('GET', 'POST'))} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"{TOKEN_HEADER}: {self.token}\r\nContent-Length: 2\r\nUpgrade: websocket\r\n"
            "Connection: close\r\nTransfer-Encoding: chunked\r\nAccept-Encoding: gzip\r\n"
        )
        lines = head.split("\r\n")
        kept = [line for line in lines if rng.random() < 0.8] or lines
        data = changed("\r\n".join([*kept, "", "{}"]).encode(), rng)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            await writer.drain()
            # What is no whole request is waited for by the server.
            answer = b""
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(reader.read(65_536), RAW_PATIENCE)
        finally:
            writer.close()
        status = answer[9:12]
        self.answers[f"raw {status.decode('latin-1') or 'none'}"] += 1
        return [f"{data[:200]!r}: {answer[:40]!r}"] if status.startswith(b"5") else []

    async def _frames(self) -> list[str]:
        rng, session = self._rng, await self._fresh()
        async with session.ws_connect(self._at + rng.choice(STREAMS)) as socket:
            for _ in range(3):
                params = {
                    name: drawn(name, rng) for name in ("symbol", "interval", "apiKey", "limit")
                }
                message = {
                    "id": rng.choice((1, "x", *NASTY)),
                    "method": rng.choice((*WS_METHODS, *NASTY)),
                    "params": rng.choice(
                        (params, ["btcusdt@kline_1m"], rng.sample(NASTY, 2), *NASTY)
                    ),
                }
                raw = json.dumps(message, default=str).encode()
                if rng.random() < 0.3:
                    raw = changed(raw, rng)
                if rng.random() < 0.1:
                    await socket.send_bytes(raw)
                else:
                    await socket.send_str(raw.decode("utf-8", "replace"))
            try:
                answer = await socket.receive(timeout=0.05)
            except TimeoutError:
                return []
            text = str(answer.data)
            self.answers["socket closed" if answer.data is None else "socket message"] += 1
            return [f"{raw[:200]!r}: {text[:200]}"] if '"status":5' in text else []

    async def _fresh(self) -> aiohttp.ClientSession:
        """Return a session from an address that has sent little."""
        if self._session is None or self._sent >= REQUESTS_PER_ADDRESS:
            await self._close_session()
            rng = self._rng
            place = f"127.{rng.randint(1, 250)}.{rng.randint(0, 250)}.{rng.randint(1, 250)}"
            connector = aiohttp.TCPConnector(local_addr=(place, 0))
            self._session = aiohttp.ClientSession(connector=connector)
            self._sent = 0
        self._sent += 1
        return self._session

    async def _close_session(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def memory() -> int:
    """Return the resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


def fuzzed_servers(cases: int, seed: int = 0) -> Part:
    """Send drawn requests to the health page and to a paper exchange."""
    part = Part("no request crashes, hangs or fills a server")
    folder = Path(tempfile.mkdtemp(prefix="botlib-fuzz-"))

    async def run() -> None:
        servers = Servers(folder, random.Random(seed), part)
        await servers.start()
        try:
            before = 0
            for number in range(cases):
                if number == cases // 5:
                    before = memory()
                await servers.case(number)
            grown = memory() - before
            part.count("memory", [f"grew by {grown:,} bytes"] if grown > GROWTH else [])
            part.notes.append(f"the memory grew by {max(grown, 0) / 2**20:.0f} MB")
            await servers._mirror.recover()
            found = await servers._ask("GET", f"{servers.paper}/api/v3/time", b"", {})
            found += await servers._ask("GET", f"{servers._mirror.url}/paper/v1/mirror", b"", {})
            found += await servers._ask("GET", f"{servers.health}/health", b"", {})
            part.count("all answer at the end", found)
            got = ", ".join(f"{kind}: {n:,}" for kind, n in servers.answers.most_common(12))
            part.notes.append(f"answers: {got}")
        finally:
            await servers.stop()

    try:
        asyncio.run(run())
    finally:
        shutil.rmtree(folder)
    part.did = f"{cases:,} drawn requests, seed {seed}"
    return part


def _candle_files() -> dict[str, bytes]:
    rows = [f"{T0 + n * 60_000},{n}.5,{n + 2},{n - 1}.25,{n + 1},12.5" for n in range(1, 60)]
    dump = [f"{row},{T0 + n * 60_000 + 59_999},1,2,3,4,0" for n, row in enumerate(rows)]
    text = "\n".join(rows).encode() + b"\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("BTCUSDT-1m-2026-01.csv", text)
    lists = json.dumps([[T0 + n * 60_000, "1", "2", "0.5", "1.5", "3"] for n in range(30)])
    columns = _columns()
    return {
        "BTCUSDT-1m-2026-01.csv": text,
        "ETHUSDT-1m-2026-01.csv": b"timestamp,open,high,low,close,volume\n" + text,
        "SOLUSDT-1m-2026-01.csv": "\r\n".join(dump).encode(),
        "BTCUSDT-1m-2026-02.zip": packed.getvalue(),
        "BTCUSDT-1m-2026-03.csv.gz": gzip.compress(text),
        "BTCUSDT-1m-2026-04.json": lists.encode(),
        **columns,
    }


def _columns() -> dict[str, bytes]:
    import pyarrow as pa
    from pyarrow import feather, parquet

    table = pa.table(
        {
            "timestamp": pa.array([T0 + n * 60_000 for n in range(40)], pa.int64()),
            **{name: [1.5] * 40 for name in ("open", "high", "low", "close", "volume")},
        }
    )
    made = io.BytesIO()
    parquet.write_table(table, made)
    other = io.BytesIO()
    feather.write_feather(table, other)
    return {
        "BTCUSDT-1m-2026-05.parquet": made.getvalue(),
        "BTCUSDT-1m-2026-06.feather": other.getvalue(),
    }


def _databases(folder: Path) -> tuple[bytes, bytes]:
    store, ledger = folder / "good.db", folder / "good.ledger.db"
    with Database.open(store, "binance") as database:
        OrderJournal(database).set_state("halts", {"a": 1})
    Ledger.open(ledger, venue="paper:synthetic:seed=1", balances={}).close()
    content = store.read_bytes(), ledger.read_bytes()
    for path in folder.glob("good*"):
        path.unlink()
    return content


def _read_database(path: Path) -> None:
    with Database.open(path, "binance", readonly=True) as database:
        CandleStorage(database).counts()
        OrderJournal(database).orders()


def _read_ledger(path: Path) -> None:
    Ledger.open(path, venue="paper:synthetic:seed=1", balances={}).close()


def _read_key(path: Path) -> None:
    kept = os.environ.pop("BINANCE_API_KEY", None)
    try:
        Secret.from_environment("BINANCE_API_KEY", path)
    finally:
        if kept is not None:
            os.environ["BINANCE_API_KEY"] = kept


def readers(folder: Path) -> list[tuple[str, bytes, Callable[[Path], object]]]:
    """Return the good files of every reader: name, content and reader."""
    listed = shipped_markets("binance")
    assert listed is not None
    store, ledger = _databases(folder)
    cells = [{"cell_type": "code", "source": "A = 1", "metadata": {"tags": ["parameters"]},
              "outputs": [], "execution_count": None}]  # fmt: skip
    kernel = {"name": "python3", "language": "python", "display_name": "x"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4,
                "nbformat_minor": 4}  # fmt: skip
    scenario = "seed: 7\nsteps:\n  - {at: +30s, fault: reset, target: streams}\n"
    return [
        *((name, content, read_recording) for name, content in _candle_files().items()),
        ("bot.yaml", example().encode(), Settings.load),
        ("scenario.yaml", scenario.encode(), Scenario.load),
        ("markets.json", listed.to_json(), MarketList.read),
        ("run.ipynb", json.dumps(notebook).encode(), lambda path: check_notebook(path, {"A": 2})),
        ("keys.env", b"BINANCE_API_KEY=abcdefgh12345678\n", _read_key),
        ("store.db", store, _read_database),
        ("ledger.db", ledger, _read_ledger),
    ]


def fuzzed_files(cases: int, seed: int = 0) -> Part:
    """Give drawn files to every reader."""
    part = Part("no file crashes, hangs or fills its reader")
    folder = Path(tempfile.mkdtemp(prefix="botlib-fuzz-"))
    rng, before = random.Random(seed), 0
    try:
        known = readers(folder)
        for number in range(cases):
            if number == cases // 5:
                before = memory()
            name, content, read = rng.choice(known)
            path = folder / name
            path.write_bytes(content if rng.random() < 0.02 else changed(content, rng))
            part.count(f"file {number} ({name})", _read(path, read))
            for left in folder.iterdir():
                left.unlink()
        grown = memory() - before
        part.count("memory", [f"grew by {grown:,} bytes"] if grown > GROWTH else [])
        part.notes.append(f"the memory grew by {max(grown, 0) / 2**20:.0f} MB")
    finally:
        shutil.rmtree(folder)
    part.did = f"{cases:,} drawn files, seed {seed}"
    return part


def _read(path: Path, read: Callable[[Path], object]) -> list[str]:
    began = time.monotonic()
    try:
        read(path)
    except BotlibError:
        pass
    except OSError as error:
        if read is not MarketList.read:
            return [f"{type(error).__name__}: {error}"[:300]]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"[:300]]
    took = time.monotonic() - began
    return [f"took {took:.0f} s"] if took > PATIENCE else []
