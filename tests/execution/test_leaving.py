"""Books that are to be flat: exits, the flatten of a kill switch, and entries that rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

from botlib.core.model import OrderRole, OrderStatus
from botlib.store import OrderJournal
from botlib.trading.books import BookKey, Want
from tests.support.order_rig import MINUTE, Rig, in_virtual_time
from tests.support.order_venue import D, OrderVenue

KEY = BookKey("trend", "BTC/USDT")


async def begin(tmp_path: Path, **rules: float) -> Rig:
    rig = Rig(tmp_path / "orders.db", OrderVenue())
    rig.symbols = ("BTC/USDT", "ETH/USDT")
    await rig.start()
    rig.trade(**rules)
    return rig


def rest_an_entry(rig: Rig) -> None:
    """Want an entry at a limit below the price, so that it rests."""
    now = rig.market_clock.now()
    rig.orders.wish(
        KEY,
        Want(
            target=D(1),
            reason="entry",
            decided=now - MINUTE,
            timeframe="1m",
            price=D(100),
            valid_until=now + 10 * MINUTE,
            limit=D(90),
        ),
    )


def test_a_halt_cancels_an_entry_that_rests(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rest_an_entry(rig)
        await rig.quiet()
        assert len(rig.venue.resting()) == 1
        rig.halts.add("kill switch, method: enough", source="method")
        rig.orders.desk("BTC/USDT").wake()
        await rig.quiet()
        assert rig.venue.resting() == [] and rig.venue.amount() == 0
        (entry,) = rig.orders.ledger.of_symbol("BTC/USDT")
        assert entry.status is OrderStatus.CANCELED
        history = OrderJournal(rig.database).order_history(entry.id)
        assert any("enough" in event.get("message", "") for event in history)
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_a_stop_of_the_bot_cancels_an_entry_that_rests(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rest_an_entry(rig)
        await rig.quiet()
        assert await rig.orders.wind_down(14.0) == []
        assert rig.venue.resting() == []
        rig.enter()
        await rig.quiet()
        assert "being stopped" in rig.orders.refused["trend"]
        await rig.stop()

    in_virtual_time(main)


def test_an_exit_that_meets_an_entry_of_unknown_outcome_is_done_when_it_is_known(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rig.venue.faults.place.append("lost after")
        rig.venue.faults.mute = rig.venue.faults.deaf = True
        rig.enter()
        await asyncio.sleep(5)
        assert rig.venue.amount() > 0 and rig.positions.of(*KEY).amount == 0
        rig.exit()
        await rig.minute()
        assert rig.venue.amount() > 0
        rig.venue.faults.deaf = False
        await rig.minute()
        await rig.quiet()
        assert rig.venue.amount() == 0 and rig.venue.resting() == []
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_a_flatten_sells_what_an_entry_under_way_buys(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rig.trade("swing", "ETH/USDT", stop_loss=0.05)
        rig.enter("swing", "ETH/USDT")
        await rig.quiet()
        rig.venue.faults.place.append("lost after")
        rig.venue.faults.mute = rig.venue.faults.deaf = True
        rig.enter()
        await asyncio.sleep(2)
        rig.halts.add("kill switch, method: enough", source="method")
        assert set(rig.orders.leave_everything()) == {"BTC/USDT", "ETH/USDT"}
        await asyncio.sleep(5)
        assert rig.venue.amount("ETH") == 0  # a symbol does not wait for another one
        assert rig.venue.amount() > 0
        rig.venue.faults.deaf = False
        await rig.minute()
        await rig.quiet()
        assert rig.venue.amount() == 0
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_a_flatten_outlasts_a_crash_and_a_venue_that_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rig.trade("swing", "ETH/USDT", stop_loss=0.05)
        rig.enter()
        rig.enter("swing", "ETH/USDT")
        await rig.quiet()
        # Both sales may be on their way when the process ends: none of them arrives.
        rig.venue.faults.place += ["crash before", "crash before"]
        rig.orders.leave_everything()
        await asyncio.sleep(2)
        assert rig.crashed.is_set()
        assert rig.venue.amount() > 0 and rig.venue.amount("ETH") > 0
        rig.venue.faults.place[:] = ["refused", "busy", "lost before"]
        await rig.start(register=False)
        await rig.minute(4)
        await rig.quiet()
        assert rig.venue.amount() == rig.venue.amount("ETH") == 0
        assert rig.venue.resting() == rig.venue.resting("ETH/USDT") == []
        sold = [one for one in rig.orders.ledger.of_symbol("BTC/USDT") if one.filled and one.sells]
        assert [one.role for one in sold] == [OrderRole.EXIT]
        assert all(book.want is None for book in rig.orders.desk("BTC/USDT").books)
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)


def test_an_exit_is_dropped_if_its_entry_bought_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rig.venue.faults.place.append("lost before")
        rig.enter()
        await asyncio.sleep(2)
        rig.exit()
        await rig.minute(3)
        await rig.quiet()
        assert rig.venue.trades == []
        assert all(book.want is None for book in rig.orders.desk("BTC/USDT").books)
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)
