"""The command ``botlib paper`` as a process: start, refusals, end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from botlib.cli import main
from botlib.core.errors import PaperExchangeError
from botlib.paper import PaperControl, PaperProcess

Recorded = Callable[[str], Path]
STREAM = "btcusdt@kline_1m"


async def test_a_process_reports_its_address_and_closes_its_sockets(tmp_path: Path) -> None:
    args = ["--seed", "7", "--start", "2026-01-05", "--lockstep", "--ledger", str(tmp_path / "l")]
    async with await PaperProcess.start(args, log=tmp_path / "log") as process:
        assert process.running
        assert process.url.startswith("http://127.0.0.1:")
        assert process.venue == "paper:synthetic:seed=7"
        assert process.market_time == 1_767_571_200_000
        async with process.control() as control, aiohttp.ClientSession() as session:
            state = await control.state()
            assert state["venue"] == process.venue
            assert (state["speed"], state["lockstep"]) == ("max", True)
            ws = await session.ws_connect(f"{process.url}/ws/{STREAM}")
            await ws.receive_str(timeout=30)
            answer = await control.advance([STREAM], process.market_time)

            async def closed() -> int | None:
                while (await ws.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
                    pass
                return ws.close_code

            assert await asyncio.gather(process.stop(), closed()) == [0, 1001]
        assert process.returncode == 0
        assert (tmp_path / "log").read_text() == ""
    # It continues at its former market time, although a start was given.
    async with await PaperProcess.start(args) as process:
        assert process.market_time == answer.market_time


async def test_the_default_speed_is_one_and_the_default_start_is_now() -> None:
    async with await PaperProcess.start() as process, process.control() as control:
        state = await control.state()
        assert (state["venue"], state["speed"]) == ("paper:synthetic:seed=42", 1.0)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{process.url}/api/v3/time") as response:
                wall = (await response.json())["serverTime"]
        assert abs(wall - state["market_time"]) < 60_000


async def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(PaperExchangeError, match=rf"(?s)exit code 2.*{port}.*another port"):
            await PaperProcess.start(["--port", port])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--recording", "nowhere.csv"], "nowhere.csv"),
        (["--seed", "1", "--recording", "x.csv"], "not both"),
        (["--speed", "fast"], "'fast' is no speed"),
        (["--speed", "-1"], "is no speed"),
        (["--balance", "USDT"], "is no balance"),
        (["--balance", "USDT=-5"], "is no balance"),
        (["--fee", "1.5"], "is no fraction"),
        (["--depth", "spred=1"], "is no depth"),
        (["--depth", "levels=1.5"], "is no depth"),
        (["--start", "soon"], "'soon' is no time"),
        (["--symbols", "???"], "'???'"),
        (["--seed", "-1"], "-1"),
    ],
)
def test_invalid_options_are_refused_with_a_reason(args: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["paper", *args])
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_start_outside_a_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-x.csv"
    path.write_text("1767571200000,1,1,1,1,1\n")
    args = ["paper", "--recording", str(path), "--start", "2026-02-01"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "cannot start" in result.output


def test_help_names_every_option() -> None:
    text = CliRunner().invoke(main, ["paper", "--help"]).output
    for option in (
        "seed",
        "recording",
        "start",
        "speed",
        "lockstep",
        "port",
        "ledger",
        "balance",
        "depth",
    ):
        assert f"--{option}" in text


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import asyncio, os, signal\n"
        "from botlib.paper import PaperProcess\n"
        "async def main():\n"
        "    process = await PaperProcess.start()\n"
        "    print(process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, str(parent)], stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert _gone(int(done.stdout))


def test_a_process_without_a_pipe_ends_with_its_parent(tmp_path: Path) -> None:
    command = f"{sys.executable} -m botlib paper --watch-parent </dev/null >ready & sleep 60"
    shell = subprocess.Popen(["/bin/sh", "-c", command], cwd=tmp_path)
    ready = tmp_path / "ready"
    waiting = asyncio.new_event_loop()
    try:
        for _ in range(300):
            if ready.exists() and ready.read_text().endswith("\n"):
                break
            waiting.run_until_complete(asyncio.sleep(0.1))
        pid = json.loads(ready.read_text())["pid"]
    finally:
        waiting.close()
        shell.kill()
        shell.wait()
    assert _gone(pid)


def _gone(pid: int) -> bool:
    loop = asyncio.new_event_loop()
    try:
        for _ in range(200):
            try:
                os.kill(pid, 0)
                if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                    return True
            except (ProcessLookupError, FileNotFoundError):
                return True
            loop.run_until_complete(asyncio.sleep(0.1))
    finally:
        loop.close()
    return False


def test_the_control_accepts_only_loopback_addresses() -> None:
    with pytest.raises(PaperExchangeError, match="this computer only"):
        PaperControl("http://api.example.com:80")


async def test_an_exchange_that_does_not_answer_is_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # it stays bound, or another process might use the port
        port = free.getsockname()[1]
        async with PaperControl(f"http://127.0.0.1:{port}") as control:
            with pytest.raises(PaperExchangeError, match="does not answer"):
                await control.state()


async def test_a_recording_is_replayed_with_its_gap(recorded: Recorded) -> None:
    path = recorded("candles/BTCUSDT-1m-20210402-20210514.csv.gz")
    args = ["--recording", str(path), "--start", "2021-04-20T01:58", "--lockstep"]
    async with await PaperProcess.start(args) as process, process.control() as control:
        assert process.venue.startswith("paper:recording:BTCUSDT-1m-20210402-20210514:")
        time = process.market_time
        closed = []
        for _ in range(3):
            answer = await control.advance([STREAM], time)
            time = answer.market_time
            closed += [candle.timestamp for candle in answer.closed]
        opened = process.market_time
        # The halt from 02:00 to 04:29: the candle of 01:59 closes when trading resumes.
        assert closed == [opened, opened + 60_000, opened + 152 * 60_000]
        assert time == opened + 153 * 60_000
