"""What a venue or a strategy gets wrong: a clear refusal or halt, and nothing lost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from botlib.core.model import OrderStatus
from botlib.trading.books import BookKey, Want
from tests.support.order_rig import MINUTE, Rig, in_virtual_time
from tests.support.order_venue import D, OrderVenue, market

KEY = BookKey("trend", "BTC/USDT")


async def begin(tmp_path: Path, **rules: float) -> Rig:
    rig = Rig(tmp_path / "orders.db", OrderVenue())
    rig.symbols = ("BTC/USDT", "ETH/USDT")
    await rig.start()
    rig.trade(**rules)
    return rig


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": OrderStatus.CANCELED, "filled": D(0), "cost": D(0)}, ("filled", "canceled")),
        ({"filled": D(7), "cost": D(700)}, ("7", "5")),
    ],
    ids=["two ends", "more filled than asked"],
)
def test_a_venue_that_contradicts_itself_halts_its_symbol_with_both_statements(
    tmp_path: Path, changes: dict[str, object], words: tuple[str, str]
) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        rig.trade("swing", "ETH/USDT", stop_loss=0.05)
        rig.enter()
        await rig.quiet()
        (entry,) = [one for one in rig.venue.orders.values() if one.stop_price is None]
        rig.orders.on_execution(replace(entry, fills=(), **changes))  # type: ignore[arg-type]
        await rig.quiet()
        (reason,) = rig.halts.reasons("BTC/USDT")
        assert "contradicts itself" in reason and all(word in reason for word in words)
        assert rig.halts.reasons("ETH/USDT") == ()
        # The position stays protected, and the other symbol is traded.
        assert [one.stop_price for one in rig.venue.resting()] == [D(95)]
        rig.enter("swing", "ETH/USDT")
        await rig.quiet()
        assert rig.venue.amount("ETH") > 0
        await rig.stop()

    in_virtual_time(main)


@pytest.mark.parametrize(
    ("listed", "lists", "rules", "words"),
    [
        ({"LIMIT", "MARKET"}, True, {"stop_loss": 0.05}, "lists no stop order"),
        (
            {"LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS"},
            False,
            {"stop_loss": 0.05, "take_profit": 0.1},
            "takes no order lists",
        ),
    ],
    ids=["no stops", "no lists"],
)
def test_an_entry_is_refused_in_a_market_that_cannot_protect_it(
    tmp_path: Path, listed: set[str], lists: bool, rules: dict[str, float], words: str
) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, **rules)
        rig.venue.markets["BTC/USDT"] = replace(
            market(), order_types=frozenset(listed), lists=lists
        )
        rig.enter()
        await rig.quiet()
        assert words in rig.orders.refused["trend"]
        assert [what for what, _ in rig.venue.requests if what == "place"] == []
        assert rig.halts.first is None
        await rig.stop()

    in_virtual_time(main)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "0"])
def test_a_want_of_no_amount_buys_nothing_and_leaves_the_desk_alive(
    tmp_path: Path, amount: str
) -> None:
    async def main() -> None:
        rig = await begin(tmp_path, stop_loss=0.05)
        now = rig.market_clock.now()
        want = Want(
            target=Decimal(amount),
            reason="entry",
            decided=now - MINUTE,
            timeframe="1m",
            price=D(100),
            valid_until=now + MINUTE,
        )
        rig.orders.wish(KEY, want)
        await rig.quiet()
        assert [what for what, _ in rig.venue.requests if what == "place"] == []
        await rig.minute(2)
        rig.enter()
        await rig.quiet()
        assert rig.venue.amount() > 0
        assert rig.violations() == []
        await rig.stop()

    in_virtual_time(main)
