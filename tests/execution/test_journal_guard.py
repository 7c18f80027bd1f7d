"""The journal of the desks: on disk before anything is sent, one sync for many writes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from botlib.core.errors import StoreError
from botlib.execution.journal_guard import JournalGuard
from botlib.store import OrderJournal
from tests.support.order_rig import WRITES, Rig, in_virtual_time
from tests.support.order_venue import OrderVenue

CHANGES = ("place", "list", "replace", "cancel")


def test_every_write_is_on_disk_before_a_request_that_changes_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsynced: list[str] = []
    sent: list[str] = []
    sync = OrderJournal.sync

    def synced(journal: OrderJournal) -> None:
        sync(journal)
        unsynced.clear()

    monkeypatch.setattr(OrderJournal, "sync", synced)

    async def main() -> None:
        rig = Rig(tmp_path / "orders.db", OrderVenue())
        await rig.start()

        def written(moment: str) -> None:
            when, name = moment.split()
            if when == "after" and name in WRITES:
                unsynced.append(name)

        def requested(moment: str) -> None:
            if moment.startswith("before") and moment.split()[-1] in CHANGES:
                sent.append(moment)
                assert not unsynced, f"{moment} with {unsynced} not on disk"

        rig.hook, rig.venue.on_request = written, requested
        rig.trade(trailing_stop=0.05, take_profit=0.2)
        rig.trade("other", stop_loss=0.05)
        rig.enter()
        rig.enter("other")
        await rig.quiet()
        rig.venue.set_price(110)
        rig.orders.candle("trend", "BTC/USDT", 110.0)
        await rig.quiet()
        rig.exit()
        rig.exit("other")
        await rig.quiet()
        assert unsynced == [], "a desk rests with entries that are not on disk"
        assert len(sent) >= 8 and rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


class _Journal:
    """A journal whose syncs wait for a permission, and may fail."""

    def __init__(self) -> None:
        self.permission = threading.Semaphore(0)
        self.syncs = 0
        self.fails = False

    def sync(self) -> None:
        self.permission.acquire()
        self.syncs += 1
        if self.fails:
            raise StoreError("the disk is gone")


async def test_writes_that_wait_at_the_same_time_share_a_sync() -> None:
    journal = _Journal()
    guard = JournalGuard(journal)  # type: ignore[arg-type]
    guard.later(lambda journal: None)
    first = asyncio.create_task(guard.durable())
    await asyncio.sleep(0.05)
    guard.later(lambda journal: None)
    others = [asyncio.create_task(guard.durable()) for _ in range(10)]
    await asyncio.sleep(0.05)
    journal.permission.release()
    await first
    assert not any(other.done() for other in others), "the sync had begun before their write"
    journal.permission.release()
    await asyncio.gather(*others)
    assert journal.syncs == 2
    await guard.durable()
    assert journal.syncs == 2


async def test_a_sync_that_fails_or_is_cancelled_leaves_the_writes_to_the_next() -> None:
    journal = _Journal()
    guard = JournalGuard(journal)  # type: ignore[arg-type]
    guard.later(lambda journal: None)
    journal.fails = True
    journal.permission.release()
    with pytest.raises(StoreError, match="disk is gone"):
        await guard.durable()
    assert guard.failing == "the disk is gone"
    journal.fails = False
    leader = asyncio.create_task(guard.durable())
    await asyncio.sleep(0.05)
    follower = asyncio.create_task(guard.durable())
    await asyncio.sleep(0.05)
    leader.cancel()
    journal.permission.release(2)
    await follower
    assert leader.cancelled() and journal.syncs == 3 and guard.failing is None
