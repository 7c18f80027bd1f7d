"""Scenarios in which one thing goes wrong on purpose; a sound order path masters all of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Final

from botlib.core.model import OrderRole, OrderStatus
from tests.support.limit_scenarios import near_limits, waiting_crowd
from tests.support.order_rig import Rig
from tests.support.order_scenarios import Step

D = Decimal
ETH: Final = "ETH/USDT"


def caps() -> list[Step]:
    """Return: more is wanted than the caps allow, on two symbols at once."""

    def begin(rig: Rig) -> None:
        rig.limits = replace(
            rig.limits, max_order_cost=D(1_000), max_exposure=D(1_500), max_orders_per_minute=3
        )
        rig.orders._context.risk.limits = rig.limits
        rig.trade("trend", stop_loss=0.05)
        rig.trade("swing", stop_loss=0.1)
        rig.trade("trend", ETH, stop_loss=0.05)

    def greedy(rig: Rig) -> None:
        rig.venue.faults.slow, rig.venue.faults.mute = 0.5, True
        rig.enter("swing", cost=1_200)
        rig.enter("trend", cost=900)
        rig.enter("trend", ETH, cost=900)

    def small(rig: Rig) -> None:
        for name, symbol in rig.strategies:
            rig.enter(name, symbol, cost=20)

    def out(rig: Rig) -> None:
        rig.venue.faults.slow, rig.venue.faults.mute = 0.0, False
        for name, symbol in rig.strategies:
            rig.exit(name, symbol)

    return [
        begin,
        greedy,
        lambda rig: rig.minute(),
        out,
        lambda rig: rig.minute(2),
        small,
        out,
        small,
        out,
        lambda rig: rig.minute(2),
        _widen,
    ]


def _widen(rig: Rig) -> None:
    rig.limits = replace(rig.limits, max_orders_per_minute=100)
    rig.orders._context.risk.limits = rig.limits


def halted() -> list[Step]:
    """Return: a person stops entries, the process is started again, exits go on."""

    def stop(rig: Rig) -> None:
        rig.halts.add("a person stops it", source="method")
        rig.halts.settle()
        rig.monitor.stopped = "a person stops it"

    async def again(rig: Rig) -> None:
        await rig.restart()

    return [
        lambda rig: rig.trade("trend", stop_loss=0.05),
        lambda rig: rig.trade("swing", ETH, stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        stop,
        lambda rig: rig.enter("swing", ETH),
        lambda rig: rig.minute(),
        again,
        lambda rig: rig.enter("swing", ETH),
        lambda rig: rig.minute(),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
    ]


def refused_stop() -> list[Step]:
    """Return: the venue refuses the stop of a new position."""
    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.venue.faults.place.extend(["", "refused"]),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
    ]


def lagging_reads() -> list[Step]:
    """Return: queries lag far behind while a stop rests that was acknowledged."""

    def lag(rig: Rig) -> None:
        rig.venue.faults.lag = 300.0
        rig.orders.check()

    def over(rig: Rig) -> None:
        rig.venue.faults.lag = 0.0

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lag,
        lambda rig: rig.minute(2),
        over,
        lambda rig: rig.minute(),
    ]


def lost_answers() -> list[Step]:
    """Return: every answer is lost and reads lag, reports come late and twice."""

    def lose(rig: Rig) -> None:
        faults = rig.venue.faults
        faults.place.extend(["lost after"] * 2)
        faults.lag, faults.late, faults.echo = 1.5, 3.0, 2

    return [
        lambda rig: rig.trade(trailing_stop=0.1),
        lose,
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lose,
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
        lose,
        lambda rig: rig.enter(),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(2),
        lose,
        lambda rig: rig.exit(),
        lambda rig: rig.minute(2),
    ]


def lost_entry() -> list[Step]:
    """Return: an entry that arrived is not known of for a while, and more signals come."""

    def deaf(rig: Rig) -> None:
        faults = rig.venue.faults
        faults.place.append("lost after")
        faults.mute = faults.deaf = True

    def hears(rig: Rig) -> None:
        rig.venue.faults.mute = rig.venue.faults.deaf = False

    return [
        lambda rig: rig.trade("trend", stop_loss=0.05),
        lambda rig: rig.trade("swing", stop_loss=0.05),
        deaf,
        lambda rig: rig.enter(),
        lambda rig: rig.enter("swing"),
        lambda rig: rig.minute(),
        lambda rig: rig.enter(),
        hears,
        lambda rig: rig.minute(2),
    ]


def old_reports() -> list[Step]:
    """Return: a report from before an entry was filled arrives long after."""

    def late(rig: Rig) -> None:
        for entry in rig.venue.bought():
            old = replace(entry, status=OrderStatus.OPEN, filled=D(0), cost=D(0), fills=())
            rig.venue.reported(old)

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        late,
        lambda rig: rig.minute(),
    ]


def silent_stream() -> list[Step]:
    """Return: nothing is reported while a stop sells."""

    def mute(rig: Rig) -> None:
        rig.venue.faults.mute = True
        rig.venue.set_price(90)

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        mute,
        lambda rig: rig.minute(2),
    ]


def busy_venue() -> list[Step]:
    """Return: the venue asks to wait, before an exit and before a late entry."""

    def busy(rig: Rig) -> None:
        rig.venue.faults.place.extend(["busy"] * 4)

    def very_busy(rig: Rig) -> None:
        rig.venue.faults.place.extend(["busy"] * 400)

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        busy,
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
        very_busy,
        lambda rig: rig.enter(),
        lambda rig: rig.minute(3),
        lambda rig: rig.venue.faults.place.clear(),
        lambda rig: rig.minute(3),
    ]


def refused_sales() -> list[Step]:
    """Return: the venue refuses to sell, for minutes."""
    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.faults.place.extend(["refused"] * 2),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(3),
    ]


def refusing_venue() -> list[Step]:
    """Return: the venue refuses every sale for ten minutes, and takes the last one."""
    return [
        lambda rig: rig.trade(trailing_stop=0.1),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.faults.place.extend(["refused"] * 1_000),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(10),
        lambda rig: rig.venue.faults.place.clear(),
        lambda rig: rig.minute(3),
    ]


def lost_cancels() -> list[Step]:
    """Return: cancellations of a list are lost or refused on the way to an exit."""
    return [
        lambda rig: rig.trade(stop_loss=0.05, take_profit=0.5),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.faults.cancel.extend(["lost before", "busy", "lost after"]),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(2),
    ]


async def _leave_in_time(rig: Rig) -> None:
    """Have every strategy leave; what the venue does without an answer must not hold that up."""
    for name, symbol in rig.strategies:
        rig.exit(name, symbol)
    await asyncio.sleep(5)
    for key in rig.strategies:
        if amount := rig.monitor.sellable(key):
            rig.monitor.note(f"I9 {amount} of {key} wait for an answer that never comes")
    rig.venue.faults.mute = False


def silent_cancel() -> list[Step]:
    """Return: the cancellation of a list is carried out, and neither answered nor reported."""

    def silence(rig: Rig) -> None:
        rig.venue.faults.mute = True
        rig.venue.faults.cancel.append("silent after")

    return [
        lambda rig: rig.trade(stop_loss=0.05, take_profit=0.5),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        silence,
        _leave_in_time,
        lambda rig: rig.minute(2),
    ]


def stalled_questions() -> list[Step]:
    """Return: a routine question is not answered for a while, and a strategy leaves."""

    async def stall(rig: Rig) -> None:
        rig.venue.faults.stall = 4.0
        rig.orders.check()
        await asyncio.sleep(0.5)
        rig.exit()
        await asyncio.sleep(2)
        if rig.monitor.sellable(("trend", "BTC/USDT")):
            rig.monitor.note("I9 an exit waits for the answer to a routine question")
        rig.venue.faults.stall = 0.0

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        stall,
        lambda rig: rig.minute(),
    ]


def silent_replacement() -> list[Step]:
    """Return: a moved stop rests, and its replacement is neither answered nor reported."""

    async def silence(rig: Rig) -> None:
        rig.venue.faults.mute = True
        rig.venue.faults.place.append("silent after")
        rig.venue.set_price(120)
        rig.candle("trend", "BTC/USDT", 120.0)
        await asyncio.sleep(2)
        await _leave_in_time(rig)

    return [
        lambda rig: rig.trade(trailing_stop=0.1),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        silence,
        lambda rig: rig.minute(2),
    ]


def selling_stop() -> list[Step]:
    """Return: a stop has sold a part when the strategy wants to leave."""

    def part(rig: Rig) -> None:
        (stop,) = rig.venue.resting()
        rig.venue.fill_part(stop.client_order_id, D(1), 95)

    def rest(rig: Rig) -> None:
        for order in rig.venue.resting():
            if order.filled:
                rig.venue.fill_part(order.client_order_id, order.amount - order.filled, 95)
                rig.venue.end(order.client_order_id, OrderStatus.FILLED)

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        part,
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
        rest,
        lambda rig: rig.minute(),
    ]


def ended_stop() -> list[Step]:
    """Return: the venue ends a stop by itself after it sold a part."""

    def end(rig: Rig) -> None:
        (stop,) = rig.venue.resting()
        rig.venue.fill_part(stop.client_order_id, D(1), 95)
        rig.venue.end(stop.client_order_id, OrderStatus.EXPIRED)

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        end,
        lambda rig: rig.minute(),
    ]


def others_trade() -> list[Step]:
    """Return: somebody else buys on the account."""
    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.venue.buy(D(2)),
        lambda rig: rig.enter(),
        lambda rig: rig.venue.buy(D(3)),
        lambda rig: rig.minute(2),
        lambda rig: rig.orders.check(),
        lambda rig: rig.minute(),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
    ]


def two_on_one_symbol() -> list[Step]:
    """Return: two strategies hold the same symbol, and one of them leaves."""
    return [
        lambda rig: rig.trade("trend", stop_loss=0.05),
        lambda rig: rig.trade("swing", trailing_stop=0.1, take_profit=0.5),
        lambda rig: rig.enter("trend"),
        lambda rig: rig.enter("swing"),
        lambda rig: rig.minute(),
        lambda rig: rig.exit("swing"),
        lambda rig: rig.minute(),
        lambda rig: rig.venue.set_price(94),
        lambda rig: rig.minute(),
    ]


def stopped() -> list[Step]:
    """Return: the bot is stopped in order while an entry is not answered for."""

    async def stop(rig: Rig) -> None:
        rig.venue.faults.mute, rig.venue.faults.lag = True, 1.5
        rig.enter()
        async with asyncio.timeout(30):
            while not rig.venue.trades:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await rig.orders.wind_down(8.0)
        for key, rules in rig.strategies.items():
            bare = rig.monitor.sellable(key) - sum(rig.monitor.resting(key, OrderRole.STOP), D(0))
            if rules.stops and bare > 0:
                rig.monitor.note(f"I6 {bare} of {key} have no stop after an orderly stop")
        rig.crash()

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.venue.faults.place.append("lost after"),
        stop,
        lambda rig: rig.minute(),
    ]


def full_disk() -> list[Step]:
    """Return: nothing can be written while a position is entered, and while one is left."""

    def fill(rig: Rig) -> None:
        rig.disk_full = True

    def free(rig: Rig) -> None:
        rig.disk_full = False

    return [
        lambda rig: rig.trade(stop_loss=0.05),
        lambda rig: rig.trade("trend", ETH, stop_loss=0.05),
        lambda rig: rig.enter(),
        lambda rig: rig.minute(),
        fill,
        lambda rig: rig.enter("trend", ETH),
        lambda rig: rig.exit(),
        lambda rig: rig.minute(),
        free,
        lambda rig: rig.minute(2),
    ]


HARD: Final = {
    "caps": caps,
    "halted": halted,
    "refused stop": refused_stop,
    "lagging reads": lagging_reads,
    "lost answers": lost_answers,
    "lost entry": lost_entry,
    "old reports": old_reports,
    "silent stream": silent_stream,
    "busy venue": busy_venue,
    "refused sales": refused_sales,
    "refusing venue": refusing_venue,
    "lost cancels": lost_cancels,
    "stalled questions": stalled_questions,
    "silent cancel": silent_cancel,
    "silent replacement": silent_replacement,
    "selling stop": selling_stop,
    "ended stop": ended_stop,
    "others trade": others_trade,
    "two on one symbol": two_on_one_symbol,
    "stopped": stopped,
    "full disk": full_disk,
    "waiting crowd": waiting_crowd,
    "near limits": near_limits,
}
