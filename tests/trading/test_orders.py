"""The order state machine: facts only grow, in whatever order and however often events come."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.model import OrderIntent, OrderStatus, OrderType, Side
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, fold, transition

D = Decimal
AMOUNT = D(4)


def order(kind: OrderType = OrderType.MARKET) -> TrackedOrder:
    """Return an order for 4 units of which nothing is known."""
    intent = OrderIntent(
        client_order_id="bl1",
        strategy="trend",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=kind,
        amount=AMOUNT,
    )
    return TrackedOrder(intent=intent, created=1)


def reported(status: OrderStatus, filled: int = 0, venue_id: str = "v1") -> OrderEvent:
    """Return a report of the venue; a unit costs 100."""
    return OrderEvent(
        kind=EventKind.REPORTED,
        status=status,
        filled=D(filled),
        cost=D(filled * 100),
        venue_order_id=venue_id,
    )


def facts(one: TrackedOrder) -> tuple[object, ...]:
    """Return what is known of an order, without the words that explain it."""
    return (
        one.status,
        one.sent,
        one.venue_order_id,
        one.filled,
        one.cost,
        one.final,
        one.final_filled,
        one.refused,
        one.retry,
        one.lost,
        one.absent,
        one.cancels_sent,
        one.cancels_refused,
        bool(one.conflict),
    )


STATUSES = st.sampled_from(
    [
        OrderStatus.OPEN,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.REJECTED,
    ]
)
REPORTS = st.builds(
    OrderEvent,
    kind=st.just(EventKind.REPORTED),
    status=STATUSES,
    filled=st.integers(0, 5).map(D),
    cost=st.integers(0, 500).map(D),
    venue_order_id=st.sampled_from(["v1", "v1", "v1", "v2", ""]),
)
OTHERS = st.builds(
    OrderEvent,
    kind=st.sampled_from([kind for kind in EventKind if kind is not EventKind.REPORTED]),
    number=st.integers(1, 3),
    retry=st.booleans(),
)
EVENTS = st.lists(REPORTS | OTHERS, max_size=7)


@st.composite
def lives(draw: st.DrawFn) -> list[OrderEvent]:
    """Return the events of an order at a venue that does not contradict itself."""
    found = [OrderEvent(kind=EventKind.SENT)]
    if draw(st.booleans()):
        found.append(OrderEvent(kind=EventKind.LOST))
    filled = 0
    for _ in range(draw(st.integers(0, 3))):
        filled = min(int(AMOUNT) - 1, filled + draw(st.integers(0, 2)))
        found.append(reported(OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.OPEN, filled))
    for number in range(1, 1 + draw(st.integers(0, 2))):
        found.append(OrderEvent(kind=EventKind.CANCEL_SENT, number=number))
        if draw(st.booleans()):
            found.append(OrderEvent(kind=EventKind.CANCEL_REFUSED, number=number))
    end = draw(st.sampled_from(["open", "filled", "canceled", "expired"]))
    if end == "filled":
        found.append(reported(OrderStatus.FILLED, int(AMOUNT)))
    elif end != "open":
        found.append(reported(OrderStatus(end), filled))
    return found


@given(EVENTS, st.data())
def test_events_in_any_order_with_duplicates_lead_to_the_same_facts(
    events: list[OrderEvent], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    shuffled = data.draw(st.permutations([*events, *again]))
    assert facts(fold(order(), shuffled)) == facts(fold(order(), events))


@given(lives(), st.data())
def test_a_venue_that_keeps_its_word_causes_no_conflict(
    events: list[OrderEvent], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(events))
    assert fold(order(), shuffled).conflict == ""


@given(EVENTS, REPORTS | OTHERS)
def test_filled_and_cost_never_fall_and_a_final_word_is_not_taken_back(
    events: list[OrderEvent], event: OrderEvent
) -> None:
    before = fold(order(), events)
    after = transition(before, event)
    assert after.filled >= before.filled
    if before.final is not None:
        assert after.final is not None and after.ended
        assert after.final is before.final or after.conflict or _given_up(before, after)


def _given_up(before: TrackedOrder, after: TrackedOrder) -> bool:
    return {before.final, after.final} <= {OrderStatus.CANCELED, OrderStatus.EXPIRED}


@given(EVENTS)
def test_what_is_unclear_rests_or_has_ended_is_never_two_of_them(events: list[OrderEvent]) -> None:
    for kind in (OrderType.MARKET, OrderType.STOP_LOSS):
        found = fold(order(kind), events)
        assert [found.unclear, found.rests, found.ended].count(True) == 1
        assert found.status is found.order.status


@given(EVENTS)
def test_an_acknowledged_order_is_never_absent_or_refused_without_a_conflict(
    events: list[OrderEvent],
) -> None:
    found = fold(order(), events)
    if found.acknowledged:
        assert found.status is not OrderStatus.ABSENT
        assert found.conflict or not (found.absent or found.refused)


@given(REPORTS | OTHERS)
def test_an_event_is_read_back_as_it_was_written(event: OrderEvent) -> None:
    read = OrderEvent.from_dict(event.to_dict())
    assert transition(order(), read) == transition(order(), event)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (reported(OrderStatus.FILLED, 4), reported(OrderStatus.CANCELED, 4), "says"),
        (reported(OrderStatus.OPEN, 5), reported(OrderStatus.OPEN, 5), "filled of"),
        (reported(OrderStatus.FILLED, 3), reported(OrderStatus.FILLED, 3), "is filled, with"),
        (reported(OrderStatus.CANCELED, 1), reported(OrderStatus.OPEN, 2), "ended with"),
        (reported(OrderStatus.OPEN), OrderEvent(kind=EventKind.REFUSED), "refused"),
        (reported(OrderStatus.OPEN), OrderEvent(kind=EventKind.ABSENT), "absent"),
        (reported(OrderStatus.OPEN), reported(OrderStatus.OPEN, venue_id="v2"), "v2"),
    ],
)
def test_two_statements_that_exclude_each_other_are_a_conflict(
    first: OrderEvent, second: OrderEvent, words: str
) -> None:
    for events in ([first, second], [second, first]):
        assert words in fold(order(), events).conflict


def test_a_cancelled_leg_of_a_list_may_be_called_cancelled_or_expired() -> None:
    found = fold(order(), [reported(OrderStatus.EXPIRED), reported(OrderStatus.CANCELED)])
    assert found.status is OrderStatus.CANCELED and not found.conflict


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], OrderStatus.INTENT),
        ([OrderEvent(kind=EventKind.SENT)], OrderStatus.SENT),
        ([OrderEvent(kind=EventKind.LOST)], OrderStatus.UNKNOWN),
        ([OrderEvent(kind=EventKind.LOST), OrderEvent(kind=EventKind.ABSENT)], OrderStatus.ABSENT),
        ([OrderEvent(kind=EventKind.REFUSED)], OrderStatus.REJECTED),
        ([OrderEvent(kind=EventKind.LOST), reported(OrderStatus.OPEN)], OrderStatus.OPEN),
        (
            [reported(OrderStatus.OPEN, 1), OrderEvent(kind=EventKind.CANCEL_SENT, number=1)],
            OrderStatus.PENDING_CANCEL,
        ),
        (
            [
                reported(OrderStatus.OPEN, 1),
                OrderEvent(kind=EventKind.CANCEL_REFUSED, number=1),
                OrderEvent(kind=EventKind.CANCEL_SENT, number=1),
            ],
            OrderStatus.PARTIALLY_FILLED,
        ),
        ([reported(OrderStatus.FILLED, 4), reported(OrderStatus.OPEN)], OrderStatus.FILLED),
    ],
)
def test_the_status_follows_from_the_facts(events: list[OrderEvent], status: OrderStatus) -> None:
    assert fold(order(), events).status is status


def test_an_event_that_says_nothing_new_changes_nothing_at_all() -> None:
    known = transition(order(), reported(OrderStatus.OPEN, 1), at=5)
    assert transition(known, reported(OrderStatus.OPEN, 1), at=9) is known
    assert known.updated == 5
