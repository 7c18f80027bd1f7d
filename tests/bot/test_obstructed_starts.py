"""The start of a mirror and of a watch where something stands between this computer and the venue.

Each is one sentence that says what to do, and nothing that was half started stays behind.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import botlib as bl
from botlib.core import retry
from botlib.core.errors import BotlibError
from botlib.paper import PaperProcess
from botlib.runtime import get_runtime
from botlib.venues.binance import api
from botlib.venues.obstacles import OFFLINE
from tests.support.obstacles import OBSTACLES, Answer, serving

LIMIT = 60.0
START: dict[str, Any] = {"symbols": ["BTC/USDT"], "timeframes": ["1m"], "health": {"port": 0}}
IN_ANOTHER_PROCESS = {
    # It follows no redirection, and its patience is that of the process.
    "a redirection to a portal": r"HTTP 302.*sign in",
    "a stall": r"no answer came within 15 s: the venue or the line stalls",
}


@pytest.fixture
def served() -> Iterator[Callable[[Answer], str]]:
    """Return a function that serves an answer to every request, and returns the address."""
    with serving() as serve:
        yield serve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data directory of a project of its own."""
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "READ_TIMEOUT", 500)
    monkeypatch.setattr(
        retry.retry, "__kwdefaults__", {**retry.retry.__kwdefaults__, "delay": 0.01}
    )
    get_runtime()
    return tmp_path / "data"


def refused(**changes: Any) -> str:
    """Return the sentence with which a bot refuses to start."""
    with pytest.raises(BotlibError) as caught:
        bl.connect(**START, **changes)
    return str(caught.value)


def left_behind(home: Path) -> list[str]:
    """Return files, processes, connections and threads that a start has left."""
    this = psutil.Process()
    found = [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.parent.name != "logs"
    ]
    found += [
        " ".join(child.cmdline())
        for child in this.children(recursive=True)
        if "paper" in child.cmdline()
    ]
    served = {
        one.laddr.port for one in this.net_connections("tcp") if one.status == psutil.CONN_LISTEN
    }
    found += [
        f"a connection to port {one.raddr.port}"
        for one in this.net_connections("tcp")
        if one.status == psutil.CONN_ESTABLISHED and one.raddr and one.raddr.port in served
    ]
    return found


def check_clean(home: Path, threads: set[str]) -> None:
    """Check that nothing is left but the log."""
    end = time.monotonic() + LIMIT
    while (left := left_behind(home)) or (left := sorted(more_than(threads))):
        assert time.monotonic() < end, left
        time.sleep(0.05)
    assert get_runtime().residents.get("bot") is None


def more_than(before: set[str]) -> set[str]:
    """Return names of threads that were not there before; those that wait for work may stay."""
    names = {thread.name for thread in threading.enumerate()} - before
    return {name for name in names if not name.startswith(("asyncio", "botlib-work"))}


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_bot_on_a_mirror_says_what_stands_in_between(
    served: Callable[[Answer], str], home: Path, name: str
) -> None:
    answer, said = OBSTACLES[name]
    url, before = served(answer), names_of_threads()
    sentence = refused(paper={"market": "mirror", "mirror": {"upstream": url}})
    assert re.search(f"(?s){IN_ANOTHER_PROCESS.get(name, said)}", sentence), sentence
    assert sentence.startswith("The paper exchange did not start (exit code 2): ")
    assert len(sentence.splitlines()) == 1 and "Traceback" not in sentence
    check_clean(home, before)


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_bot_that_watches_says_what_stands_in_between(
    served: Callable[[Answer], str], home: Path, name: str
) -> None:
    answer, said = OBSTACLES[name]
    url, before = served(answer), names_of_threads()
    sentence = refused(market="binance", exchange={"url": url})
    assert re.search(f"(?s){said}", sentence), sentence
    assert len(sentence.splitlines()) == 1 and "Traceback" not in sentence
    check_clean(home, before)


WAYS: dict[str, dict[str, Any]] = {
    "mirror": {"paper": {"market": "mirror"}},
    "watch": {"market": "binance"},
}


@pytest.mark.parametrize("way", WAYS)
def test_without_a_network_one_sentence_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # A proxy that nobody is: the real venue is wanted, and no name is resolved.
    monkeypatch.setenv(OFFLINE, "0")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    before = names_of_threads()
    sentence = refused(**WAYS[way])
    assert "The proxy 127.0.0.1:9 cannot be reached. HTTPS_PROXY" in sentence
    assert len(sentence.splitlines()) == 1
    check_clean(home, before)


@pytest.mark.parametrize("way", WAYS)
def test_told_to_stay_on_this_computer_it_says_so(home: Path, way: str) -> None:
    before = names_of_threads()
    sentence = refused(**WAYS[way])
    assert OFFLINE in sentence and "unset it" in sentence
    check_clean(home, before)


@pytest.mark.parametrize("way", WAYS)
def test_a_clock_that_is_minutes_wrong_is_said_and_does_no_harm(home: Path, way: str) -> None:
    async def late() -> PaperProcess:
        process = await PaperProcess.start(["--speed", "60", "--seed", "7"])
        async with process.control() as control:
            await control.fault("clock", skew=300_000)
        return process

    upstream = asyncio.run(late())
    url = upstream.url
    changes: dict[str, Any] = (
        {"market": "binance", "exchange": {"url": url}}
        if way == "watch"
        else {"paper": {"market": "mirror", "mirror": {"upstream": url}}}
    )
    bot = bl.connect(**START, history=60, **changes)
    try:
        end = time.monotonic() + LIMIT
        while not bot.health().healthy:
            assert time.monotonic() < end, bot.health().reasons
            time.sleep(0.1)
        said = "clock is 5.0 minutes behind the venue's; requests use the venue's. Set it"
        assert said in (home / "logs" / "botlib.log").read_text()
        if way == "mirror":
            assert said in (home / "logs" / "paper.log").read_text()
            assert bot.equity() == 10_000
    finally:
        bot.stop()
        asyncio.run(upstream.stop())
