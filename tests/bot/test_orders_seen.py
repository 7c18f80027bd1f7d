"""What a cell sees of orders, books, halts and the start, through the bot without ``await``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import botlib as bl
from botlib.drill.strategy import Pulse
from botlib.execution import Reconciliation


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    found = connect()
    yield found
    found.stop()


def connect() -> Any:
    return bl.connect(
        symbols=["BTC/USDT"],
        history=60,
        health={"port": 0},
        strategies=[],
        paper={"lockstep": True, "start": "2026-01-05"},
    )


def test_a_cell_sees_books_orders_halts_and_the_start(bot: Any) -> None:
    bot.trade(Pulse(timeframes=("1m",), stop_loss=0.05), "BTC/USDT", name="pulse")
    for _ in range(10):
        bot.wait("1m", progress=False)
        if len(bot.books) and bot.books["protection"].iloc[0] == "resting":
            break
    (book,) = bot.books.to_dict("records")
    assert (book["strategy"], book["protection"], book["orphaned"]) == ("pulse", "resting", False)
    assert book["stop"] > 0
    assert "pulse" in bot.books._repr_html_()

    orders = bot.orders()
    assert list(orders["role"])[:2] == ["entry", "stop"]
    assert orders["unknown_for"].isna().all()
    card = orders._repr_html_()
    assert "pulse holds" in card and "rests at the venue" in card

    history = bot.order_history(orders["client_order_id"].iloc[0])
    kinds = list(history["kind"])
    assert "reported" in kinds and list(history["status"])[-1] == "filled"
    assert (history["recorded"].diff().dropna().dt.total_seconds() >= 0).all()
    assert "Events of" in history._repr_html_()
    assert len(bot.order_history("bl000000-unknown")) == 0

    assert len(bot.halts) == 0 and isinstance(bot.reconciliation, Reconciliation)
    bot.kill("enough", close_positions=True)
    assert list(bot.halts["source"]) == ["method"]
    assert "enough" in bot.halts._repr_html_() and "enough" in bot.orders()._repr_html_()
    assert bot.positions["amount"].iloc[0] < 0.00001
    bot.rearm("the news are over")
    assert len(bot.halts) == 0


def test_the_start_tells_what_it_found(bot: Any) -> None:
    bot.trade(Pulse(timeframes=("1m",), stop_loss=0.05), "BTC/USDT", name="pulse")
    for _ in range(10):
        bot.wait("1m", progress=False)
        if len(bot.books) and bot.books["protection"].iloc[0] == "resting":
            break
    bot.stop()
    again = connect()
    try:
        rows = {row.what.split()[0]: row for row in again.reconciliation.rows}
        assert rows["stop"].venue == "open" and rows["balance"].done == "agree", rows
        assert again.reconciliation.explained
        assert "all explained" in again.reconciliation._repr_html_()
        (book,) = again.books.to_dict("records")
        assert (book["orphaned"], book["protection"]) == (True, "resting")
        assert again.arming is None
    finally:
        again.stop()
