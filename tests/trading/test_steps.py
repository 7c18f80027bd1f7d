"""The next step of a symbol: total, safe in every state, and at its goal after some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from botlib.core.model import OrderRole, OrderStatus, Side
from botlib.trading.books import Book
from botlib.trading.orders import TrackedOrder
from botlib.trading.sizing import sellable, tradable
from botlib.trading.state import (
    Cancel,
    Drop,
    Nothing,
    Place,
    Query,
    Replace,
    Step,
    Sweep,
    TradingState,
    Wait,
)
from botlib.trading.steps import next_step
from tests.support.symbol_states import Model, states

STATES = states()


def sells(step: Step) -> bool:
    """Return whether a step sends an order that sells."""
    if isinstance(step, Replace):
        return True
    return isinstance(step, Place) and step.intents[0].side is Side.SELL


def buys(step: Step) -> bool:
    """Return whether a step sends an order that buys."""
    return isinstance(step, Place) and step.intents[0].side is Side.BUY


def leaving(book: Book) -> bool:
    """Return whether a book is to be sold."""
    return book.want is not None and book.want.target <= 0


def open_orders(state: TradingState, book: Book) -> list[TrackedOrder]:
    """Return the orders of a book that sell and may still trade."""
    return [one for one in state.of(book.key) if one.sells and not one.ended]


def held(state: TradingState, book: Book) -> bool:
    """Return whether a book holds what can be sold at the newest price."""
    want = book.want.price if book.want is not None else Decimal(0)
    price, amount = state.price or book.protection.entry_price or want, book.amount
    if not price:
        return sellable(amount, state.market) >= state.market.min_amount
    return tradable(sellable(amount, state.market), price, state.market)


def running(order: TrackedOrder) -> bool:
    """Return whether an order is a stop that has begun to sell."""
    return order.role is OrderRole.STOP and order.status is OrderStatus.PARTIALLY_FILLED


def book_of(state: TradingState, order: TrackedOrder) -> Book:
    """Return the book of an order."""
    return next(one for one in state.books if one.key.strategy == order.intent.strategy)


def nothing_is_bought_while_an_outcome_is_not_known(state: TradingState, step: Step) -> None:
    if not (isinstance(step, Place) and buys(step)):
        return
    assert not any(one.unclear or state.owes(one) for one in state.orders)
    assert not state.sweep_wanted and not state.halts and state.held_back is None
    assert state.send_at <= state.wall
    want = step.book.want
    assert want is not None and step.intents[0].amount <= want.target
    assert want.valid_until is None or state.now < want.valid_until
    assert all(one.ended for one in state.of(step.book.key) if one.role is OrderRole.ENTRY)


def no_more_is_sold_than_a_book_holds(state: TradingState, step: Step) -> None:
    if not (isinstance(step, Place | Replace) and sells(step)):
        return
    for intent in (step.intent,) if isinstance(step, Replace) else step.intents:
        assert 0 < intent.amount <= step.book.amount
        assert intent.strategy == step.book.key.strategy and intent.side is Side.SELL
    replaced = step.order.id if isinstance(step, Replace) else ""
    assert [one for one in open_orders(state, step.book) if one.id != replaced] == []


def every_position_is_protected_once_nothing_is_left_to_do(state: TradingState, step: Step) -> None:
    if not isinstance(step, Nothing):
        return
    for book in state.books:
        if not held(state, book):
            continue
        assert not leaving(book)
        resting = open_orders(state, book)
        for role, level in (
            (OrderRole.STOP, book.protection.stop),
            (OrderRole.TARGET, book.protection.target),
        ):
            if level is None or any(map(running, resting)):
                continue
            (order,) = [one for one in resting if one.role is role]
            assert order.remaining == sellable(book.amount, state.market)
            assert level in (order.intent.stop_price, order.intent.price)


def a_stop_that_is_selling_is_left_to_run(state: TradingState, step: Step) -> None:
    if isinstance(step, Cancel | Replace):
        assert not running(step.order) or not held(state, book_of(state, step.order))


def protection_goes_only_if_its_successor_can_follow_at_once(
    state: TradingState, step: Step
) -> None:
    if not isinstance(step, Cancel | Replace) or not step.order.role.protects:
        return
    book = book_of(state, step.order)
    assert state.send_at <= state.wall
    if step.order.remaining <= sellable(book.amount, state.market):
        assert leaving(book) or book.protection.any
        assert state.sends_from(book) <= state.wall
        assert not any(one.sells and one.unclear for one in state.of(book.key))
        assert held(state, book)


def nothing_that_lowers_risk_waits_for_a_halt_or_caution(state: TradingState, step: Step) -> None:
    free = replace(state, halts=(), held_back=None)
    first = next_step(free)
    if any(one.rests for one in state.orders if not one.sells):
        return  # A halt withdraws entries that rest, and does so first.
    if sells(first) or isinstance(first, Cancel | Query | Sweep):
        assert next_step(replace(free, halts=("stopped",))) == first
        assert next_step(replace(free, held_back="late")) == first


def a_wait_ends_in_the_future(state: TradingState, step: Step) -> None:
    if isinstance(step, Wait):
        assert step.wall > state.wall and step.market > state.now and step.why


def a_want_is_dropped_with_a_reason_and_an_exit_only_if_nothing_can_be_sold(
    state: TradingState, step: Step
) -> None:
    if isinstance(step, Drop):
        assert step.why and step.book.want is not None
        assert not leaving(step.book) or not held(state, step.book)


CHECKS = (
    nothing_is_bought_while_an_outcome_is_not_known,
    no_more_is_sold_than_a_book_holds,
    every_position_is_protected_once_nothing_is_left_to_do,
    a_stop_that_is_selling_is_left_to_run,
    protection_goes_only_if_its_successor_can_follow_at_once,
    nothing_that_lowers_risk_waits_for_a_halt_or_caution,
    a_wait_ends_in_the_future,
    a_want_is_dropped_with_a_reason_and_an_exit_only_if_nothing_can_be_sold,
)


@pytest.mark.parametrize("check", CHECKS)
@given(STATES, st.booleans())
def test_of_every_step_from_every_state(
    check: Callable[[TradingState, Step], None], state: TradingState, arrived: bool
) -> None:
    Model(state, arrived=arrived, look=check).run()


@given(STATES)
def test_every_state_has_a_next_step_and_always_the_same(state: TradingState) -> None:
    assert next_step(state) == next_step(state)


@given(STATES, st.booleans())
def test_steps_end_with_want_and_venue_agreeing_or_in_a_halt(
    state: TradingState, arrived: bool
) -> None:
    assume(all(not one.conflict for one in state.orders))
    model = Model(state, arrived=arrived)
    model.run()
    if set(model.state.halts) - set(state.halts):
        return
    for book in model.state.books:
        if book.want is not None:
            # Only a limit entry that rests is waited for.
            assert book.want.target > 0 and book.want.limit is not None
        if held(model.state, book) and book.protection.stop is not None:
            resting = open_orders(model.state, book)
            stops = [one for one in resting if one.role is OrderRole.STOP]
            assert any(map(running, stops)) or [one.remaining for one in stops] == [
                sellable(book.amount, model.state.market)
            ]
