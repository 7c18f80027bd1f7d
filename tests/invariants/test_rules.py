"""Each invariant can fail, and reports the state of the bot and of the venue."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from botlib.core.model import (
    FillReceived,
    Side,
)
from botlib.invariants import BotRecord, InvariantChecker, VenueRecord, find_secrets, rules, secrets
from botlib.invariants.bot_record import Decision
from botlib.store import CandleStorage, Database
from botlib.trading.orders import TrackedOrder
from botlib.trading.risk import RiskLimits
from tests.support.records import (
    MINUTE,
    T0,
    candle,
    fill,
    hole,
    intent,
    order,
    placed,
    signal,
    trade,
)

STREAM = ("BTC/USDT", "1m")
LIMITS = RiskLimits(
    max_order_cost=Decimal(1_000),
    max_exposure=Decimal(1_500),
    max_open_orders=5,
    max_orders_per_minute=2,
    max_daily_loss=Decimal(500),
)


BOT = BotRecord(
    orders={"bl-1": order()},
    fills=(fill(),),
    decisions=(Decision(strategy="s", symbol="BTC/USDT", timestamp=T0, action="entry"),),
    candles={STREAM: [candle(0), candle(1), candle(3)]},
    holes={STREAM: [hole(2)]},
)
VENUE = VenueRecord(
    market_time=T0 + 5 * MINUTE,
    orders=(placed(),),
    trades=(trade(),),
    balances={"BTC": Decimal("1.00999"), "USDT": Decimal(9_100)},
)
BARS = {STREAM: {T0 + n * MINUTE: (10.0, 11.0, 9.0, 10.0, 1.0) for n in (0, 1, 3)}}
BASELINE = {"BTC": Decimal(1)}


def test_a_correct_bot_has_no_violation() -> None:
    found = [
        *rules.one_order_per_decision(BOT, VENUE),
        *rules.fills_are_trades(BOT, VENUE),
        *rules.booked_once([FillReceived(fill=fill()), FillReceived(fill=fill(8))]),
        *rules.positions_agree(BOT, VENUE, ["BTC/USDT"], BASELINE),
        *rules.candles_are_the_venues(BOT, BARS),
        *rules.one_signal_per_candle(BOT, [signal(0), signal(1)], VENUE.market_time),
        *rules.caps_hold(BOT, VENUE, LIMITS),
    ]
    assert found == []


def test_i1_two_orders_for_one_decision_or_one_that_is_not_in_the_journal() -> None:
    double = replace(VENUE, orders=(placed(), placed(2)))
    assert [one.venue for one in rules.one_order_per_decision(BOT, double)] == ["2 orders"]
    stranger = replace(VENUE, orders=(placed(), placed(2, "bl-2"), placed(3, "manual-2")))
    found = list(rules.one_order_per_decision(BOT, stranger))
    assert [(one.what, one.bot) for one in found] == [("order bl-2", "not in the journal")]


def test_i2_fills_that_are_missing_invented_different_or_published_twice() -> None:
    assert len(list(rules.fills_are_trades(replace(BOT, fills=()), VENUE))) == 1
    assert len(list(rules.fills_are_trades(BOT, replace(VENUE, trades=())))) == 1
    for changes in ({"price": Decimal(1)}, {"amount": Decimal(1)}, {"fee": Decimal(1)}):
        wrong = replace(BOT, fills=(fill(**changes),))
        assert "0.01 at 90000" in str(next(rules.fills_are_trades(wrong, VENUE)))
    # A trade of an order that the bot did not send does not count.
    other = replace(
        VENUE, orders=(placed(), placed(2, "manual-2")), trades=(trade(), trade(8, number=2))
    )
    assert list(rules.fills_are_trades(BOT, other)) == []
    assert len(list(rules.booked_once([FillReceived(fill=fill())] * 2))) == 1


def test_i3_a_position_that_the_venue_does_not_hold() -> None:
    gone = replace(VENUE, balances={"BTC": Decimal("0.5")})
    found = next(rules.positions_agree(BOT, gone, ["BTC/USDT"], BASELINE))
    assert (found.bot, found.venue) == ("0.00999 BTC", "-0.5 BTC")
    manual = replace(
        VENUE,
        orders=(placed(), placed(2, "manual-2")),
        trades=(trade(), trade(8, number=2)),
        balances={"BTC": Decimal("1.01998")},
    )
    assert list(rules.positions_agree(BOT, manual, ["BTC/USDT"], BASELINE)) == []


def test_i4_candles_that_are_missing_wrong_or_invented() -> None:
    lacking = replace(BOT, holes={STREAM: []})
    assert next(rules.candles_are_the_venues(lacking, BARS)).bot == "neither stored nor a hole"
    wrong = replace(BOT, candles={STREAM: [candle(0), candle(1, close=10.5), candle(3)]})
    assert len(list(rules.candles_are_the_venues(wrong, BARS))) == 1
    invented = replace(BOT, candles={STREAM: [candle(n) for n in range(4)]}, holes={STREAM: []})
    assert next(rules.candles_are_the_venues(invented, BARS)).venue == "no candle"
    there = {STREAM: {**BARS[STREAM], T0 + 2 * MINUTE: (1.0,) * 5}}
    assert next(rules.candles_are_the_venues(BOT, there)).bot == "a hole"


def test_i5_two_signals_on_one_candle_or_one_on_an_open_candle() -> None:
    assert len(list(rules.one_signal_per_candle(BOT, [signal(1)] * 2, VENUE.market_time))) == 1
    early = list(rules.one_signal_per_candle(BOT, [signal(5)], VENUE.market_time))
    assert len(early) == 1 and "closes at" in early[0].venue
    twice = replace(BOT, decisions=BOT.decisions * 2)
    assert len(list(rules.one_signal_per_candle(twice, [], VENUE.market_time))) == 1


def test_i7_risk_limits_that_do_not_hold_at_the_venue() -> None:
    expensive = replace(VENUE, orders=(placed(cost=Decimal(1_100)),))
    assert next(rules.caps_hold(BOT, expensive, LIMITS)).what == "max_order_cost at order 1"
    bot = replace(BOT, orders={f"bl-{n}": order(f"bl-{n}") for n in range(4)})
    many = replace(VENUE, orders=tuple(placed(n, f"bl-{n}") for n in range(4)), trades=())
    assert [one.what for one in rules.caps_hold(bot, many, LIMITS)] == ["max_orders_per_minute"]
    held = replace(
        VENUE,
        orders=(placed(), placed(2, "bl-2", created=T0 + 2 * MINUTE)),
        trades=(trade(), trade(8, number=2)),
    )
    assert "max_exposure" in next(rules.caps_hold(bot, held, LIMITS)).what


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text,
        lambda text: f"x{base64.b64encode(text.encode()).decode()}",
        lambda text: base64.b64encode(b"a" + text.encode() + b"tail").decode(),
        lambda text: base64.b64encode(b"ab" + text.encode() + b"more").decode(),
        lambda text: text.encode().hex(),
        lambda text: f"https://example.org/?key={quote(text, safe='')}",
    ],
)
def test_i8_a_secret_is_found_in_every_encoding(encode: Any, tmp_path: Path) -> None:
    secret = "canary/key+Zm9vYmFy=xyz"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.txt").write_text(f"before {encode(secret)} after")
    (tmp_path / "clean.txt").write_text("nothing here")
    found = list(find_secrets([tmp_path], [secret]))
    assert found and all("log.txt" in one.bot for one in found)
    assert secret not in "".join(map(str, found))
    assert list(find_secrets([tmp_path / "clean.txt"], [secret])) == []
    with pytest.raises(ValueError, match="by chance"):
        list(find_secrets([tmp_path], ["short"]))


@pytest.mark.parametrize("length", [64, 20])
def test_i8_a_secret_is_found_wherever_the_parts_of_a_file_end(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "PART", length)
    path = tmp_path / "log.txt"
    for before in range(130):
        path.write_text(f"{'-' * before}canary/key+Zm9vYmFy=xyz{'-' * 70}")
        assert len(list(find_secrets([tmp_path], ["canary/key+Zm9vYmFy=xyz"]))) == 1


class FakeControl:
    """The control of an exchange with one position and, if ``stop`` is set, its stop."""

    def __init__(self) -> None:
        self.requests = 0
        self.stop = False

    async def state(self) -> dict[str, Any]:
        return {"counters": {"requests": self.requests}}

    async def ledger(self, after: int = 0, orders: Sequence[int] = ()) -> dict[str, Any]:
        raw = {"type": "MARKET", "side": "BUY", "symbol": "BTCUSDT", "created": T0}
        raw |= {"amount": "0.01", "executed": "0.01", "cost": "900", "status": "FILLED"}
        stop = {"type": "STOP_LOSS", "side": "SELL", "status": "NEW", "executed": "0"}
        stop |= {"stop_price": "1", "client_order_id": "bl-stop-1", "order_id": 2}
        first = {**raw, "client_order_id": "bl-1", "order_id": 1}
        trade = {"trade_id": 7, "order_id": 1, "symbol": "BTCUSDT", "side": "BUY", "time": T0}
        trade |= {"price": "90000", "amount": "0.01"}
        trade |= {"commission": "0.00001", "commission_asset": "BTC"}
        placed: list[dict[str, Any]] = [first, *([{**raw, **stop}] if self.stop else [])]
        return {
            "market_time": T0,
            "balances": {"BTC": {"free": "0.00999", "locked": "0"}},
            "orders": [
                one for one in placed if one["order_id"] > after or one["order_id"] in orders
            ],
            "trades": [trade] if after < 1 or 1 in orders else [],
        }

    async def candles(self, *where: object) -> list[Any]:
        return []


async def test_i6_and_i9_a_position_without_its_stop_and_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botlib.invariants import checker as module
    from botlib.store import OrderJournal

    database = Database.open(tmp_path / "bot.db", "paper:test")
    journal = OrderJournal(database)
    intents = (intent(), intent("bl-stop-1", side=Side.SELL, stop_price=Decimal(1)))
    journal.record_intents([TrackedOrder(intent=one, created=T0) for one in intents])
    journal.save_fill(fill())
    assert CandleStorage(database).counts() == {}
    control, halted, tasks = FakeControl(), None, 3
    checker = InvariantChecker(
        control,
        database=tmp_path / "bot.db",
        venue="paper:test",
        streams=[STREAM],
        stops=lambda symbol: True,
        steps={"BTC/USDT": Decimal("0.001")},
        halted=lambda: halted,
        tasks=lambda: tasks,
    )
    await checker.begin()
    monkeypatch.setattr(module, "GRACE", 0.05)
    assert (await checker.check()).ok
    await asyncio.sleep(0.1)
    # The time with a stop, or while entries are halted, does not count.
    control.stop = True
    assert (await checker.check()).ok
    control.stop, halted = False, "by the trader"
    assert (await checker.check()).ok
    halted = None
    assert (await checker.check()).ok
    await asyncio.sleep(0.1)
    report = await checker.check()
    assert [one.invariant for one in report.violations] == ["I6"]
    assert "broken" in str(report) and "no stop" in report._repr_html_()
    control.requests, tasks = 1_000_000, 300
    found = {one.what for one in (await checker.check()).of("I9")}
    assert found == {"more than 1200 requests a minute", "tasks leak"}
    late = await checker.converge(0.2)
    assert any("not recovered 0.2 s after" in one.what for one in late.of("I9"))
    database.close()
