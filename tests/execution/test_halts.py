"""The latch of halts: one list of reasons, stored, which only a person ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from botlib.core.bus import BusSubscription, EventBus
from botlib.core.clock import MarketClock
from botlib.core.errors import StoreError
from botlib.core.model import Halted
from botlib.execution import HaltLatch
from botlib.store import Database, OrderJournal


class Setup:
    """A latch over a real journal."""

    def __init__(self, path: Path) -> None:
        self.database = Database.open(path, "paper:synthetic:seed=1")
        self.journal = OrderJournal(self.database)
        self.bus = EventBus()
        self.published: BusSubscription[Halted] = self.bus.subscribe(Halted, name="test")
        self.latch = self.new()

    def new(self) -> HaltLatch:
        """Return a latch as a process makes one at its start."""
        latch = HaltLatch(self.bus, MarketClock(5))
        latch.open(self.journal)
        return latch


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    setup = Setup(tmp_path / "halts.db")
    with setup.database:
        yield setup


def test_a_reason_is_added_once_and_told_when_it_is_stored(setup: Setup) -> None:
    assert setup.latch.add("loss", source="risk")
    assert not setup.latch.add("loss", source="risk")
    assert setup.latch.reasons() == ("loss",)
    assert setup.published.get_nowait() is None and setup.journal.halts() == []
    setup.latch.settle()
    assert setup.published.get_nowait() == Halted(reason="loss")
    assert setup.published.get_nowait() is None
    assert [halt.reason for halt in setup.journal.halts()] == ["loss"]


def test_a_halt_of_a_symbol_stops_that_symbol_only(setup: Setup) -> None:
    setup.latch.add("no stop", source="desk", symbol="BTC/USDT")
    assert setup.latch.reasons("BTC/USDT") == ("no stop",) == setup.latch.reasons()
    assert setup.latch.reasons("ETH/USDT") == ()
    setup.latch.add("loss", source="risk")
    assert setup.latch.reasons("ETH/USDT") == ("loss",)
    assert setup.latch.first == "no stop"


def test_the_reason_of_a_person_is_shown_first(setup: Setup) -> None:
    setup.latch.add("loss", source="risk")
    setup.latch.add("kill switch, http: enough", source="http")
    assert setup.latch.first == "kill switch, http: enough"
    assert setup.latch.reasons() == ("loss", "kill switch, http: enough")


def test_what_was_stopped_stays_stopped_after_a_restart(setup: Setup) -> None:
    setup.latch.add("loss", source="risk")
    setup.latch.add("no stop", source="desk", symbol="BTC/USDT")
    setup.latch.close()
    again = setup.new()
    assert [(halt.reason, halt.source, halt.symbol, halt.began) for halt in again.all] == [
        ("loss", "risk", None, 5),
        ("no stop", "desk", "BTC/USDT", 5),
    ]
    again.rearm("looked at")
    assert again.all == ()
    assert setup.new().all == ()


def test_a_latch_that_is_opened_again_holds_each_reason_once(setup: Setup) -> None:
    setup.latch.add("loss", source="risk")
    setup.latch.close()
    setup.latch.add("added while it was closed", source="risk")
    setup.latch.open(setup.journal)
    assert setup.latch.reasons() == ("loss", "added while it was closed")
    assert [halt.reason for halt in setup.journal.halts()] == ["loss", "added while it was closed"]
    setup.latch.close()
    setup.new().rearm("looked at")
    setup.latch.open(setup.journal)
    assert setup.latch.all == ()


def test_a_reason_that_cannot_be_stored_holds_and_is_stored_later(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(setup.journal, "begin_halt", full)
        patch.setattr(setup.journal, "end_halts", full)
        setup.latch.add("loss", source="risk")
        setup.latch.settle()
        assert setup.latch.first == "loss"
        with pytest.raises(StoreError, match="full"):
            setup.latch.rearm("looked at")
        assert setup.latch.first == "loss"
    setup.latch.settle()
    assert [halt.reason for halt in setup.journal.halts()] == ["loss"]


def test_every_thread_may_halt(setup: Setup) -> None:
    def add(number: int) -> None:
        for index in range(50):
            setup.latch.add(f"reason {index}", source="desk")
            setup.latch.add(f"reason {number} {index}", source="desk")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        setup.latch.settle()
    for thread in threads:
        thread.join()
    setup.latch.settle()
    assert len(setup.latch.reasons()) == len(set(setup.latch.reasons())) == 50 + 8 * 50
    stored = [halt.reason for halt in setup.journal.halts()]
    assert sorted(stored) == sorted(setup.latch.reasons())
