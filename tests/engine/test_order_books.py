"""The order books of a bot: followed from the first call, shown in health, feeds and tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.core.errors import EngineError, ExchangeUnavailable, InvalidInput
from botlib.engine import health
from botlib.views.dashboard import DashboardFeed


@pytest.fixture
def bot(tmp_path: Path) -> Iterator[Any]:
    """A bot on a market in lockstep whose order book has a depth."""
    made = bl.connect(
        symbols=["BTC/USDT"],
        history=30,
        strategies=[],
        health={"port": 0},
        data_directory=tmp_path,
        paper={"lockstep": True, "start": "2026-01-05", "depth": {"levels": 30}},
    )
    yield made
    made.stop()


def test_the_first_call_starts_a_task_that_follows_the_book(
    bot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, call = bot.aio.engine, bot._runtime.call

    def books() -> list[Any]:
        feeds = DashboardFeed(engine).state()["feeds"]
        return [row for name, row in feeds["rows"].items() if name == "BTC/USDT book"]

    assert "order_books" not in engine.tasks and books() == []
    book = bot.order_book("BTCUSDT", 5)
    assert (len(book.bids), len(book.asks)) == (5, 5)
    truth = call(engine.exchange.fetch_depth("BTC/USDT", 5))
    assert (book.update_id, book.bids, book.asks) == (truth.update_id, truth.bids, truth.asks)

    bot.wait(120, progress=False)
    later = bot.order_book("BTC/USDT", levels=50)
    assert later.update_id > book.update_id and len(later.bids) == 30, "there are no more levels"
    assert [task.name for task in bot.tasks.status().tasks].count("order_books") == 1
    assert bot.health().healthy
    [row] = books()
    assert (row["state"], row["gaps"]) == ("ok", 0)

    # Without a snapshot there is no book, and health and feeds say so.
    monkeypatch.setattr(health, "BOOK_GRACE", 0.0)
    control = engine.paper.control
    call(control.fault("http_status", match="depth", status=503, count=10_000))
    call(control.fault("drop", match="btcusdt@depth"))
    bot.wait(120, progress=False)
    end = time.monotonic() + 60
    while bot.health().healthy and time.monotonic() < end:
        time.sleep(0.02)
    assert "the order book of BTC/USDT has been out of step" in " ".join(bot.health().reasons)
    assert books()[0]["state"] == "repairing"
    with pytest.raises(ExchangeUnavailable, match="not in step"):
        bot.order_book("BTC/USDT", timeout=0.1)
    call(control.fault("clear"))
    assert bot.order_book("BTC/USDT", timeout=60).update_id > later.update_id
    assert bot.health().healthy


def test_a_refused_call_starts_no_task_and_a_stopped_bot_follows_no_book(bot: Any) -> None:
    with pytest.raises(InvalidInput, match="from 1 to 500"):
        bot.order_book("BTC/USDT", 0)
    with pytest.raises(InvalidInput, match="does not list"):
        bot.order_book("FOO/BAR")
    assert "order_books" not in bot.aio.engine.tasks
    bot.stop()
    with pytest.raises(EngineError, match="does not run"):
        bot.order_book("BTC/USDT")
