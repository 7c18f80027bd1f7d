"""Hostile and unusual files: bombs, pipes, names that lead elsewhere, keys that others may read."""

from __future__ import annotations

import gzip
import io
import logging
import os
import resource
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import botlib as bl
from botlib.backtesting.sweeps.record import SweepRecord
from botlib.config import Settings
from botlib.config.secrets import Secret, _warn_open, environment_without_keys, keys_at_hand
from botlib.core.clock import SystemClock
from botlib.core.errors import BotlibError, ConfigError, PaperExchangeError, RecordingError
from botlib.core.files import read_regular
from botlib.engine.safety.kill_switch import STOP_FILE, KillSwitch
from botlib.execution import HaltLatch
from botlib.paper import PaperControl, PaperProcess
from botlib.runs import run_notebook
from botlib.store import Database, OrderJournal
from botlib.store.files import reading
from botlib.store.files.reading import read_recording
from botlib.venues.market_list import MarketList

pytestmark = pytest.mark.timeout(240)
LIMIT = 60.0

BOMB = """
import resource, sys
from botlib.core.errors import RecordingError
from botlib.store.files.reading import read_recording
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
try:
    read_recording(sys.argv[1])
except RecordingError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, error)
"""


def zipped(size: int) -> bytes:
    """Return a zip with a member of zeros, about a thousandth of its size."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("BTCUSDT-1m-2024-08.csv", "w", force_zip64=True) as member,
    ):
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return packed.getvalue()


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    """Three megabytes hold three gigabytes; the reader is given four of address space."""
    path = tmp_path / "BTCUSDT-1m-2024-08.zip"
    path.write_bytes(zipped(3 * 2**30))
    assert path.stat().st_size < 4_000_000
    done = subprocess.run(
        [sys.executable, "-c", BOMB, path], capture_output=True, text=True, timeout=200
    )
    assert "bytes when it is unpacked" in done.stdout, done.stderr
    assert int(done.stdout.split()[0]) < 2_000


@pytest.mark.parametrize("pack", [zipped, lambda size: gzip.compress(bytes(size))])
def test_every_kind_of_packed_file_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[int], bytes]
) -> None:
    monkeypatch.setattr(reading, "LARGEST", 5 * 2**20)
    path = tmp_path / "BTCUSDT-1m-2024-08.x"
    path.write_bytes(pack(20 * 2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecordingError, match=r"more than 5.242.880 bytes when it is unpacked"):
        read_recording(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    path.write_bytes(bytes(6 * 2**20))
    with pytest.raises(RecordingError, match=r"more than 5.242.880 bytes"):
        read_recording(path)


def within(work: Callable[[], object]) -> object:
    """Return what a function returns or raises; fail if it hangs."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "it hangs"
    return found[0]


READERS: dict[str, Callable[[Path], object]] = {
    "candles": read_recording,
    "configuration": Settings.load,
    "database": lambda path: Database.open(path, "binance"),
    "database to read": lambda path: Database.open(path, "binance", readonly=True),
    "market list": MarketList.read,
    "notebook": lambda path: run_notebook(path, directory=path.parent / "runs"),
    "keys": lambda path: Secret.from_environment("BINANCE_API_KEY", path),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["a pipe", "a device", "a directory", "a socket"])
def test_nothing_but_a_regular_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """A pipe hangs whoever opens it, and a device never ends."""
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    path = tmp_path / "x"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a directory":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    error = within(lambda: READERS[name](path))
    assert isinstance(error, BotlibError | OSError), error


def test_a_directory_is_named_as_one_and_not_kept_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a directory, no regular file"):
        read_regular(tmp_path, 10)
    opened = Path("/proc/self/fd")
    if opened.exists():
        assert tmp_path not in {one.readlink() for one in opened.iterdir() if one.is_symlink()}


def test_a_pipe_beside_a_candle_file_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-08.csv"
    path.write_text("1722470400000,1,2,0.5,1.5,10\n")
    os.mkfifo(tmp_path / f"{path.name}.CHECKSUM")
    error = within(lambda: read_recording(path))
    assert isinstance(error, RecordingError) and "CHECKSUM" in str(error)


async def test_a_stop_file_that_is_a_pipe_stops_entries_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / STOP_FILE)
    with Database.open(tmp_path / "x.db", "binance") as database:
        latch = HaltLatch(None, SystemClock())  # type: ignore[arg-type]
        switch = KillSwitch(halts=latch, clock=SystemClock(), stop_file=tmp_path / STOP_FILE)
        request = switch._requested()
        assert request is not None and "cannot be read" in request.reason
        assert OrderJournal(database) is not None


def test_a_kill_reason_with_a_lone_surrogate_can_be_stored(tmp_path: Path) -> None:
    """It comes from JSON, and neither the log nor the database can hold it."""
    latch = HaltLatch(None, SystemClock())  # type: ignore[arg-type]
    switch = KillSwitch(halts=latch, clock=SystemClock(), stop_file=tmp_path / STOP_FILE)
    switch._open = True
    kill = switch.throw("half \ud800 a pair", by="http")
    assert kill.reason == "half ? a pair"
    kill.reason.encode()


@pytest.mark.parametrize("name", ["../../escaped", "/etc/escaped", "a/../../b", "..", "x\0y"])
def test_a_class_with_a_name_that_leads_elsewhere_writes_where_it_was_told(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "a" / "b" / "sweeps"
    record = SweepRecord(folder, name, "0" * 32, ["fast"], 1)
    record.close()
    assert [one.parent for one in tmp_path.rglob("*.sweep")] == [folder]
    assert record.path.stat().st_mode & 0o777 == 0o600


def test_keys_in_a_file_that_others_may_read_are_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    _warn_open.cache_clear()
    path = tmp_path / ".env"
    path.write_text("BINANCE_API_KEY=a-key-for-this-test\n")
    path.chmod(0o600)
    with caplog.at_level(logging.WARNING):
        keys_at_hand()
        assert caplog.text == ""
        path.chmod(0o644)
        keys_at_hand()
        keys_at_hand()
    assert caplog.text.count("chmod 600") == 1 and "a-key-for" not in caplog.text
    path.write_text("SOMETHING=else\n")
    _warn_open.cache_clear()
    caplog.clear()
    keys_at_hand()
    assert caplog.text == ""


async def test_a_paper_exchange_inherits_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs none, and its environment could be read through it."""
    monkeypatch.setenv("BINANCE_API_KEY", "inherited-key-of-the-test")
    monkeypatch.setenv("BINANCE_API_SECRET", "inherited-secret-of-the-test")
    monkeypatch.setenv("UNRELATED", "see inherited-secret-of-the-test")
    monkeypatch.setenv("HARMLESS", "1")
    async with await PaperProcess.start(["--seed", "7"], log=tmp_path / "log") as process:
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()  # noqa: ASYNC240
    assert b"inherited" not in environment and b"HARMLESS=1" in environment
    assert "BINANCE_API_KEY" not in environment_without_keys()


async def test_a_redirection_from_this_computer_is_not_followed() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"venue": "stolen"})

    async def redirecting(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"{target}{request.path}")

    runners, urls = [], []
    for handler in (elsewhere, redirecting):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
    target = urls[0]
    try:
        async with PaperControl(urls[1]) as control:
            for call in (control.state(), control.pause(), control.fault("reset")):
                with pytest.raises(PaperExchangeError, match="is no paper exchange"):
                    await call
    finally:
        for runner in runners:
            await runner.cleanup()
    assert asked == []


def test_the_data_directory_of_a_checkout_is_taken_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git makes it with the umask, and keeps a file in it."""
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    bot: Any = bl.connect(symbols=["BTC/USDT"], history=30, strategies=[], health={"port": 0})
    bot.stop()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    other = tmp_path / "elsewhere"
    other.mkdir(0o755)
    other.chmod(0o755)
    bot = bl.connect(
        symbols=["BTC/USDT"], history=30, strategies=[], health={"port": 0},
        data_directory=str(other),
    )  # fmt: skip
    bot.stop()
    assert other.stat().st_mode & 0o777 == 0o755


def test_a_configuration_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_bytes(b"# " + b"x" * 2_000_000)
    with pytest.raises(ConfigError, match=r"more than 1.000.000 bytes"):
        Settings.load(path)
