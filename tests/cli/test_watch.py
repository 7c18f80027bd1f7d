"""The command that watches a venue; a paper exchange on this computer stands in for it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from botlib.paper import PaperControl
from botlib.store import CandleStorage, Database
from tests.support.paper_process import paper_exchange

# A minute of the market is a second, and it begins now, as that of a venue.
MARKET = ("--speed", "60", "--start", "now")
FILES = {"tradingbot.db", "tradingbot.db.lock", "tradingbot.db.markets.json", "botlib.log"}


@pytest.fixture
def url() -> Iterator[str]:
    with paper_exchange(*MARKET) as url:
        yield url


def watch(*arguments: str, home: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if "BINANCE" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", "botlib", "watch", *arguments],
        cwd=home,
        env={**environment, "BOTLIB_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files(home: Path) -> set[str]:
    return {path.name for path in home.rglob("*") if path.is_file()}


async def orders(url: str) -> object:
    async with PaperControl(url) as control:
        return (await control.ledger())["orders"]


def test_it_prints_prices_and_candles_and_stores_them(url: str, tmp_path: Path) -> None:
    process = watch("BTC/USDT", "--for", "8s", "--url", url, home=tmp_path)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[0].startswith("WATCH · binance, a stand-in · connected") and lines[0].endswith(
        "stands in"
    )
    assert re.search(r"BTC/USDT bid [\d.]+ ask [\d.]+", out)
    assert re.search(r"BTC/USDT 1m closed: open [\d.]+ high [\d.]+ low", out)
    assert "unhealthy" not in out and "ETH" not in out
    assert files(tmp_path) == FILES
    number = re.search(r"Stored ([\d\u2009]+) candles in data/stand-in/tradingbot\.db", out)
    assert number is not None
    with Database.open(tmp_path / "data/stand-in/tradingbot.db", "binance") as database:
        stored = len(CandleStorage(database).frame("BTC/USDT", "1m"))
    assert stored >= int(number[1].replace("\u2009", "")) >= 500
    assert lines[-1].strip() == 'bot.chart("BTC/USDT", "1m")' and json.dumps(url) in lines[-2]
    assert asyncio.run(orders(url)) == []


def test_an_interrupt_ends_it_in_order(url: str, tmp_path: Path) -> None:
    process = watch("--for", "1h", "--url", url, home=tmp_path)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("WATCH")
    while "closed:" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err, err
    assert "Interrupted." in out and "Stored 1\u20090" in out


def test_a_venue_that_does_not_answer_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        port = reserved.getsockname()[1]
        process = watch("--url", f"http://127.0.0.1:{port}", home=tmp_path)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("Error: No answer from the venue") and len(err.splitlines()) == 1
    assert files(tmp_path) == {"botlib.log"}


def test_what_cannot_be_watched_is_one_sentence(url: str, tmp_path: Path) -> None:
    refused = {
        ("BTC/USDX", "--url", url): "does not list",
        ("-t", "7m", "--url", url): "7m",
        ("--for", "soon", "--url", url): "soon",
        ("--url", "http://192.0.2.1:9000"): "this computer",
    }
    for arguments, words in refused.items():
        process = watch(*arguments, home=tmp_path)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (2, ""), (arguments, out)
        assert words in err and "Traceback" not in err, err
