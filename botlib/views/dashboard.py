"""`DashboardFeed`: updates the dashboard of an engine, and runs the actions of its buttons."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from botlib.core.asynctools import first_of
from botlib.core.errors import BotlibError, EngineError, InvalidInput
from botlib.core.text.masking import masked
from botlib.core.timeframe import MINUTE
from botlib.views.dashboard_state import StateBuilder

if TYPE_CHECKING:
    from botlib.runtime import Runtime
    from botlib.views.engine import OperableEngine
    from botlib.widgets.dashboard import Dashboard, DashboardState, Reply

logger = logging.getLogger(__name__)

NOT_FINISHED: Final = "the runtime was closed before it was done"
KILLS: Final = frozenset({"kill", "kill_and_sell"})
"""Actions that throw the kill switch."""

STRATEGY_ACTIONS: Final = frozenset({"strategy_on", "strategy_off", "flatten", "strategy_error"})

VALUATION_INTERVAL: Final = 0.5
"""Least seconds between two requests to the venue for the account's value."""


def open_dashboard(engine: OperableEngine, runtime: Runtime, *, height: int) -> Dashboard:
    """Return a dashboard that is kept up to date on the engine's loop; call it on that loop.

    If the engine has stopped, the dashboard shows the state it ended with.

    Args:
        runtime: runs the buttons' actions.
        height: pixels in the page.

    Raises:
        EngineError: the engine has never run.
    """
    from botlib.widgets.dashboard import Dashboard

    if engine.run_start is None:
        raise EngineError("The bot has never run, so there is nothing to show. Start it first.")
    feed = DashboardFeed(engine)

    def act(action: str, target: str, reply: Reply) -> None:
        if action in KILLS:
            feed.throw()
        future = runtime.submit(feed.answer(action, target))
        future.add_done_callback(
            lambda done: reply(*((False, NOT_FINISHED) if done.cancelled() else done.result()))
        )

    dashboard = Dashboard(feed.state(), act, height=height)
    if engine.started:
        runtime.submit(feed.run(dashboard))
    else:
        feed.finish(dashboard)
    return dashboard


def finish_dashboard(engine: OperableEngine, dashboard: Dashboard) -> None:
    """Show the state in which a stopped engine ended; nothing follows."""
    DashboardFeed(engine).finish(dashboard)


class DashboardFeed:
    """The connection of an engine with a dashboard; runs on the engine's loop, except `throw`."""

    def __init__(self, engine: OperableEngine) -> None:
        self._engine = engine
        self._state = StateBuilder(engine)

    async def run(self, dashboard: Dashboard) -> None:
        """Keep a dashboard up to date until it is closed or the engine has stopped."""
        await first_of(self._publish(dashboard), self._keep_valued())
        self.finish(dashboard)

    async def _publish(self, dashboard: Dashboard) -> None:
        while self._engine.started and not dashboard.closed:
            dashboard.publish(self.state())
            await asyncio.sleep(dashboard.interval)

    async def _keep_valued(self) -> None:
        """Value the account after fills, and once a minute of market time if that runs fast."""
        valued, known = self._engine.market_clock.now(), self._engine.orders.fills
        while True:
            await asyncio.sleep(VALUATION_INTERVAL)
            now, fills = self._engine.market_clock.now(), self._engine.orders.fills
            if now - valued < MINUTE and fills == known:
                continue
            valued, known = now, fills
            try:
                await self._engine.account.value()
            except Exception as error:
                logger.debug("the account could not be valued for the dashboard: %s", error)

    def finish(self, dashboard: Dashboard) -> None:
        """Show the state in which the engine ended, for good."""
        if not dashboard.closed:
            dashboard.publish(self.state(), last=True)

    def state(self) -> DashboardState:
        """Return everything the dashboard shows as plain JSON values."""
        return self._state.build(self._engine.account.prices())

    # The buttons

    def throw(self) -> None:
        """Throw the kill switch; from any thread, also while the loop is busy."""
        self._engine.kill_switch.throw("thrown on the dashboard", by="dashboard")

    async def act(self, action: str, target: str) -> str:
        """Run the action of a button, and return its result in a sentence.

        Raises:
            BotlibError: the action failed.
            Exception: the error of a task that a button ran.
        """
        tasks = self._engine.tasks
        if action == "start":
            await tasks.start_task(target)
            return f"{target} was started"
        if action == "stop":
            await tasks.stop_task(target)
            return f"{target} was stopped"
        if action == "run":
            await tasks.run_now(target)
            return f"{target} has run"
        if action == "error":
            task = tasks.status()[target]
            return task.last_traceback or task.last_error or "no error so far"
        if action in STRATEGY_ACTIONS:
            return await self._strategy(action, target)
        if action in KILLS:
            sell = action == "kill_and_sell"
            reason = "thrown on the dashboard"
            return " ".join(await self._engine.kill(reason, by="dashboard", close_positions=sell))
        if action == "rearm":
            self._engine.kill_switch.rearm("re-armed on the dashboard")
            return "Entries are allowed again"
        raise InvalidInput(f"The dashboard has no action {action!r}.")

    async def _strategy(self, action: str, name: str) -> str:
        """Run the action of a strategy's button, and return its result in a sentence."""
        roster = self._engine.roster
        if action == "strategy_on":
            await roster.start(name)
            return f"{name} is asked again"
        if action == "strategy_off":
            roster.stop(name)
            return f"{name} is not asked any more; what it holds stays"
        if action == "flatten":
            order = await roster.flatten(name)
            if order is None:
                return f"{name} holds nothing that could be sold"
            return f"{order.side} {order.amount} {order.symbol}: {order.status}"
        failure = roster.find(name).failure
        return "no error so far" if failure is None else failure.trace

    async def answer(self, action: str, target: str) -> tuple[bool, str]:
        """Run the action of a button; return whether it succeeded, and a message. Never raises."""
        try:
            return True, masked(await self.act(action, target))
        except BotlibError as error:
            return False, masked(str(error))
        except Exception as error:
            logger.warning("%s of %r failed: %s", action, target, error)
            return False, masked(f"{type(error).__name__}: {error}")
