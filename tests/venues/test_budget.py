"""The budget of requests: what is used, what is kept for exits, and when a limit begins anew."""

from __future__ import annotations

import asyncio

import pytest

from botlib.core.timeframe import DAY, MINUTE, SECOND
from botlib.simulation.loop import VirtualLoop
from botlib.venues import budget as module
from botlib.venues.binance.weights import announced, weight_of
from botlib.venues.budget import (
    CLOCK_ERROR,
    Counted,
    Purpose,
    RequestBudget,
    RequestLimit,
    Shortage,
)

WEIGHT = RequestLimit(counted=Counted.WEIGHT, most=6_000, period=MINUTE)
ORDERS = RequestLimit(counted=Counted.ORDERS, most=100, period=10 * SECOND)


class Venue:
    """A budget, and what a venue says of its use."""

    def __init__(self, *limits: RequestLimit) -> None:
        self.now = 10 * DAY + 5 * SECOND
        self.budget = RequestBudget(limits or (WEIGHT, ORDERS), lambda: self.now)
        self.short: list[Shortage] = []
        self.budget.on_short = self.short.append

    def says(self, limit: RequestLimit, used: int, request: int | None = None) -> None:
        if request is None:
            request = self.budget.begin(weight=0)
            self.budget.end(request)
        self.budget.report(limit.counted, limit.period, used, request)

    def allows(self, purpose: Purpose, *, weight: int = 0, orders: int = 0) -> bool:
        return self.budget.shortage(purpose, weight=weight, orders=orders) is None


@pytest.mark.parametrize("purpose", [Purpose.READ, Purpose.CHECK, Purpose.ENTRY])
def test_reads_and_entries_leave_a_sixth_to_exits(purpose: Purpose) -> None:
    venue = Venue()
    venue.says(WEIGHT, 4_980)
    assert venue.allows(purpose, weight=20) and not venue.allows(purpose, weight=21)
    venue.says(ORDERS, 82)
    assert venue.allows(purpose, orders=1) and not venue.allows(purpose, orders=2)


def test_questions_about_unknown_orders_use_half_of_what_is_kept() -> None:
    venue = Venue()
    venue.says(WEIGHT, 5_480)
    assert not venue.allows(Purpose.READ, weight=1)
    assert venue.allows(Purpose.ENQUIRY, weight=20) and not venue.allows(Purpose.ENQUIRY, weight=21)


def test_a_shortage_says_rule_value_and_limit() -> None:
    venue = Venue()
    venue.says(ORDERS, 84)
    short = venue.budget.shortage(Purpose.ENTRY, weight=2, orders=2)
    assert short is not None
    assert (short.rule, short.used, short.limit.most) == ("orders_10s", 84, 100)
    assert "84 of the venue's limit of 100 (orders_10s) are used, and the last 17" in str(short)


def test_requests_that_are_not_answered_count() -> None:
    venue = Venue()
    venue.says(WEIGHT, 4_980)
    request = venue.budget.begin(weight=20)
    assert not venue.allows(Purpose.READ, weight=20)
    venue.says(WEIGHT, 4_980, request)
    venue.budget.end(request)
    assert venue.allows(Purpose.READ, weight=20)


def test_an_answer_that_was_overtaken_does_not_lower_what_is_used() -> None:
    venue = Venue()
    first, second = venue.budget.begin(weight=0), venue.budget.begin(weight=0)
    venue.says(ORDERS, 20, second)
    venue.says(ORDERS, 13, first)
    assert venue.budget.used(Counted.ORDERS, 10 * SECOND) == 20


def test_a_limit_begins_anew_with_its_window_and_is_learnt_early() -> None:
    venue = Venue()
    venue.says(ORDERS, 90)
    venue.now += 5 * SECOND
    assert not venue.allows(Purpose.ENTRY, orders=1), "the venue's clock may be behind"
    venue.now += CLOCK_ERROR
    assert venue.allows(Purpose.ENTRY, orders=80)
    venue.says(ORDERS, 90)
    venue.now += 10 * SECOND - CLOCK_ERROR
    venue.says(ORDERS, 40)  # The venue's clock is ahead: its window has begun.
    venue.now += CLOCK_ERROR
    assert venue.budget.used(Counted.ORDERS, 10 * SECOND) == 40


def test_a_market_that_runs_ahead_of_the_clock_begins_limits_anew() -> None:
    venue = Venue()
    market = [0]
    venue.budget.market = lambda: market[0]
    venue.says(WEIGHT, 5_990)
    assert not venue.allows(Purpose.READ, weight=1)
    market[0] = MINUTE
    assert venue.allows(Purpose.READ, weight=1)


def test_an_entry_keeps_room_for_the_orders_that_protect_its_position() -> None:
    venue = Venue(RequestLimit(counted=Counted.ORDERS, most=12, period=10 * SECOND))
    taken = 0
    while venue.allows(Purpose.ENTRY, orders=2):
        taken += 1
        venue.budget.claim(f"entry {taken}", 2)
    assert taken == 5, "five entries with their stops, and two of twelve are kept"
    venue.budget.claim("entry 1", 0)
    assert venue.allows(Purpose.ENTRY, orders=2), "what is given back may be used"


def test_what_is_kept_for_an_entry_is_not_kept_for_ever() -> None:
    venue = Venue()
    for number in range(1_000):
        venue.budget.claim(str(number), 3)
    venue.now += module.CLAIM_AGE
    assert venue.allows(Purpose.ENTRY, orders=80)
    venue.budget.claim("another", 1)
    assert len(venue.budget._claims) == 1


def test_limits_are_those_that_the_venue_announces() -> None:
    venue = Venue()
    venue.says(WEIGHT, 900)
    venue.budget.announce(
        announced(
            [
                _limit("REQUEST_WEIGHT", "MINUTE", 1, 1_200),
                _limit("ORDERS", "SECOND", 10, 50),
                _limit("ORDERS", "DAY", 1, 160_000),
                _limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
                _limit("SOMETHING_NEW", "MINUTE", 1, 1),
                _limit("ORDERS", "FORTNIGHT", 1, 1),
            ]
        )
    )
    names = {limit.name: limit.most for limit in venue.budget.limits}
    assert names == {"request_weight_1m": 1_200, "orders_10s": 50, "orders_1d": 160_000}
    assert not venue.allows(Purpose.READ, weight=101), "what is used stays known"
    venue.budget.announce([])
    assert len(venue.budget.limits) == 3


def _limit(kind: str, interval: str, number: int, most: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": most}


def test_what_is_held_back_is_told_once_in_a_window() -> None:
    venue = Venue()
    venue.says(ORDERS, 90)
    for _ in range(3):
        for purpose in (Purpose.ENTRY, Purpose.READ):
            short = venue.budget.shortage(purpose, weight=0, orders=1)
            assert short is not None
            venue.budget.tell(short)
    assert [one.purpose for one in venue.short] == [Purpose.ENTRY, Purpose.READ]
    venue.now += 10 * SECOND
    venue.says(ORDERS, 90)
    venue.budget.tell(short)
    assert len(venue.short) == 3


def test_a_read_waits_for_the_next_window() -> None:
    loop = VirtualLoop(10 * DAY + 30 * SECOND)
    budget = RequestBudget((WEIGHT,), loop.calendar)
    budget.report(Counted.WEIGHT, MINUTE, 5_500, 1)

    async def wait() -> float:
        await budget.admit(Purpose.READ, weight=2)
        return asyncio.get_running_loop().time()

    try:
        began = loop.time()
        assert loop.run_until_complete(wait()) - began == pytest.approx(30 + CLOCK_ERROR / 1_000)
    finally:
        loop.close()


def test_weights_are_those_of_the_documentation() -> None:
    assert [weight_of("publicGetDepth", {"limit": n}) for n in (5, 100, 500, 1_000, 5_000)] == [
        5, 5, 25, 50, 250,
    ]  # fmt: skip
    assert weight_of("privateGetOpenOrders") == 80
    assert weight_of("privateGetOpenOrders", {"symbol": "BTCUSDT"}) == 6
    assert weight_of("publicGetKlines", {"limit": 1_000}) == 2
    assert weight_of("privatePostOrder") == 1
