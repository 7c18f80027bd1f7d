"""The reconciliation of the start: what is told, and which ids are whose."""

from __future__ import annotations

import pytest

from botlib.execution.reconciliation import (
    Reconciliation,
    ReconciliationRow,
    foreign_bot,
    unknown_of_ours,
)
from tests.support.order_rig import SYMBOL, Rig, rigged
from tests.support.order_venue import D

HASH = "0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("name", "other", "ours"),
    [
        (f"bl0a1b2c-{HASH}", None, True),
        (f"blffffff-{HASH}", "ffffff", False),
        ("web_1234567890", None, False),
        ("bl0a1b2c-short", None, False),
        (f"bl0A1B2C-{HASH}", None, False),
        (f"xbl0a1b2c-{HASH}", None, False),
        (f"bl0a1b2c-{HASH}0", None, False),
        ("", None, False),
    ],
)
def test_an_id_tells_which_bot_sent_an_order(name: str, other: str | None, ours: bool) -> None:
    assert foreign_bot(name, "0a1b2c") == other
    assert unknown_of_ours(name, "0a1b2c") is ours


def test_a_start_that_found_nothing_says_so() -> None:
    found = Reconciliation()
    assert found.explained
    assert "journal and venue agree" in repr(found)
    assert "journal and venue agree" in found._repr_html_()


def test_the_table_shows_both_sides_and_escapes_what_the_venue_says() -> None:
    found = Reconciliation()
    found.add(SYMBOL, "order x", journal="open", venue="<b>filled</b>", done="now filled")
    assert found.rows == [
        ReconciliationRow(
            symbol=SYMBOL, what="order x", journal="open", venue="<b>filled</b>", done="now filled"
        )
    ]
    assert all(words in repr(found) for words in ("symbol", "journal", "venue", "now filled"))
    html = found._repr_html_()
    assert "<b>filled" not in html and "&lt;b&gt;filled" in html
    found.add("BTC", "balance", done="1 BTC are missing", halts=True)
    assert not found.explained and "not explained" in found._repr_html_()


@rigged
async def test_what_agrees_is_told_and_nothing_is_halted(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    await rig.restart()
    found = rig.orders.reconciliation
    assert found is not None and found.explained
    rows = {(row.symbol, row.what.split()[0]): row for row in found.rows}
    assert rows[SYMBOL, "stop"].done == "now open"
    balance = rows["BTC", "balance"]
    assert D(balance.journal) == D(balance.venue) == D("4.995")
    assert balance.done == "agree"
    assert rig.halts.first is None


@rigged
async def test_coins_of_a_person_are_external_and_counted_exactly(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.venue.buy(D("1.5"))
    await rig.restart()
    found = rig.orders.reconciliation
    assert found is not None and found.explained
    (balance,) = [row for row in found.rows if row.what == "balance"]
    extra, words = balance.done.split()
    assert words == "EXTERNAL" and D(extra) == rig.venue.amount() - D("4.995")
    assert rig.venue.covered() == D("4.995")


@rigged
async def test_coins_that_are_missing_halt_entries_and_keep_the_stop(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    rig.venue.held["BTC"] -= D("0.1")
    await rig.start()
    await rig.quiet()
    found = rig.orders.reconciliation
    assert found is not None and not found.explained
    assert "0.1" in str(rig.halts.first) and "BTC are missing" in str(rig.halts.first)
    rig.enter()
    await rig.quiet()
    assert "entries are halted" in rig.orders.refused["trend"]
    assert rig.venue.covered() == D("4.995")


@rigged
async def test_a_fee_that_was_taken_in_the_asset_is_explained(rig: Rig) -> None:
    rig.trade(stop_loss=0.05)
    rig.enter()
    await rig.quiet()
    rig.crash()
    rig.venue.held["BTC"] -= D("0.04")
    await rig.start()
    assert rig.orders.reconciliation is not None and rig.orders.reconciliation.explained
    assert rig.halts.first is None
