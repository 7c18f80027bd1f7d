"""Scenarios: a file with faults and their times, and the player that performs them.

A scenario is a list of steps in YAML or JSON, or a mapping with ``steps`` and a ``seed``::

    seed: 7
    steps:
      - {at: +30s, fault: reset, target: streams}
      - {at: 2026-01-05T12:00, fault: drop, match: kline, for: 20s}
      - {at: after 3 orders, fault: restart, away: 2s}

``at`` is the time since the start of the scenario, a market time (UTC), or a number of orders that
the exchange accepted since then. All other keys of a step are parameters of the fault (see
`faults.kinds`).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from botlib.config.reading import Located, read_yaml
from botlib.core.errors import BotlibError, ConfigError, PaperExchangeError, did_you_mean
from botlib.core.timeframe import parse_duration
from botlib.paper.faults import Faults, check_details
from botlib.paper.faults.registry import no_one
from botlib.paper.operator.fault_actions import FaultActions
from botlib.paper.venue import Venue

logger = logging.getLogger(__name__)

MAX_STEPS: Final = 10_000
_ACCEPTED: Final = "'+30s', a market time such as 2026-01-05T12:00 (UTC), or 'after 3 orders'"
_ORDERS: Final = re.compile(r"after (\d{1,9}) orders?")
_FIRST_MS: Final = 10**11
"""Smallest number that is accepted as a timestamp in ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioStep:
    """A fault and its time, of which exactly one is set: ``after``, ``market`` or ``orders``.

    Attributes:
        fault: kind of the fault.
        details: its parameters.
        after: seconds since the start of the scenario.
        market: market time, ms.
        orders: orders accepted since the start of the scenario.
    """

    fault: str
    details: Mapping[str, Any]
    after: float | None = None
    market: int | None = None
    orders: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The steps of a scenario in the order of the file, and the seed of its random choices."""

    steps: tuple[ScenarioStep, ...]
    seed: int = 0

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Load a scenario file.

        Raises:
            PaperExchangeError: it cannot be read, or is no scenario; the message names the line,
                the value and what is accepted.
        """
        try:
            content = read_yaml(path, located=True)
        except ConfigError as error:
            text = str(error).replace("configuration file", "scenario file")
            raise PaperExchangeError(text.partition(" Write one with")[0]) from None
        return cls.of(content, repr(str(path)))

    @classmethod
    def of(cls, content: object, origin: str = "The scenario") -> Scenario:
        """Parse a list of steps, or a mapping with ``steps``.

        Args:
            content: list or mapping.
            origin: name of its source, for error messages.

        Raises:
            PaperExchangeError: it is no scenario.
        """
        seed, steps = 0, content
        if isinstance(content, Mapping):
            for name in content:
                if name not in ("seed", "steps"):
                    raise PaperExchangeError(
                        f"{origin}: unknown key {name!r}. Accepted: seed, steps."
                        f"{did_you_mean(str(name), ('seed', 'steps'))}"
                    )
            seed, steps = content.get("seed", 0), content.get("steps")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise PaperExchangeError(f"{origin}: seed is {seed!r}. Accepted: a whole number.")
        if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
            raise PaperExchangeError(
                f"{origin} holds no steps. Accepted: a list such as "
                "'- {at: +30s, fault: reset, target: streams}'."
            )
        if len(steps) > MAX_STEPS:
            raise PaperExchangeError(
                f"{origin} has {len(steps)} steps. Accepted: {MAX_STEPS} at most."
            )
        return cls(
            seed=seed,
            steps=tuple(_parse_step(step, origin, number) for number, step in enumerate(steps, 1)),
        )


def _parse_step(step: object, origin: str, number: int) -> ScenarioStep:
    line = f", line {step.line}" if isinstance(step, Located) else ""
    place = f"{origin}{line}, step {number}"
    if not isinstance(step, Mapping):
        raise PaperExchangeError(
            f"{place} is {step!r}. Accepted: a mapping such as {{at: +30s, fault: reset}}."
        )
    for name in ("at", "fault"):
        if name not in step:
            raise PaperExchangeError(f"{place} lacks {name!r}. Accepted: {_example(name)}.")
    details = {name: value for name, value in step.items() if name not in ("at", "fault")}
    try:
        moment = _parse_moment(step["at"])
        check_details(step["fault"], details)
    except BotlibError as error:
        raise PaperExchangeError(f"{place}: {error}") from None
    return ScenarioStep(fault=step["fault"], details=details, **moment)


def _example(name: str) -> str:
    return _ACCEPTED if name == "at" else "a kind of fault, such as reset"


def _parse_moment(at: object) -> dict[str, Any]:
    if isinstance(at, datetime):
        return {"market": _timestamp(at)}
    if isinstance(at, date):
        return {"market": _timestamp(datetime.combine(at, time()))}
    if isinstance(at, int) and not isinstance(at, bool) and at >= _FIRST_MS:
        return {"market": at}
    if isinstance(at, str):
        if (orders := _ORDERS.fullmatch(at)) is not None:
            return {"orders": int(orders[1])}
        try:
            if at.startswith("+"):
                return {"after": parse_duration(at[1:])}
            return {"market": _timestamp(datetime.fromisoformat(at))}
        except (BotlibError, ValueError):
            pass
    raise PaperExchangeError(f"at is {at!r}. Accepted: {_ACCEPTED}.")


def _timestamp(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1_000)


class ScenarioPlayer:
    """Player of scenarios on an exchange, which continues after a restart of the exchange.

    Attributes:
        faults: fault registry of the exchange, which outlives its restarts.
        performed: number of performed steps.
        errors: messages of steps that could not be performed.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.performed = 0
        self.errors: list[str] = []
        self._actions: FaultActions | None = None
        self._venue: Venue | None = None
        self._steps: list[ScenarioStep] = []
        self._started = 0.0
        self._orders = 0
        self._progressed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Number of steps that were not yet performed."""
        return len(self._steps)

    def attach(self, actions: FaultActions, venue: Venue) -> None:
        """Play on another exchange from now on."""
        self._actions, self._venue = actions, venue

    def load(self, scenario: Scenario) -> None:
        """Start a scenario, and drop the rest of another one."""
        assert self._venue is not None
        self.faults.seed(scenario.seed)
        self._steps = list(scenario.steps)
        self._started = asyncio.get_running_loop().time()
        self._orders = self._accepted_orders
        self.performed, self.errors = 0, []
        self._progressed.set()

    async def run(self) -> None:
        """Perform the steps at their times until cancelled."""
        while True:
            # Prices and orders are reported only while a step waits for them.
            waits = any(step.after is None for step in self._steps)
            self.faults.time_changed = self._on_progress if waits else no_one
            self._progressed.clear()
            while (step := self._due()) is not None:
                self._steps.remove(step)
                await self._perform(step)
            await self._wait_until_due()

    def _on_progress(self) -> bool:
        self._progressed.set()
        return True

    @property
    def _accepted_orders(self) -> int:
        assert self._venue is not None
        return self._venue.engine.state.counters.order

    def _due(self) -> ScenarioStep | None:
        assert self._venue is not None
        passed = asyncio.get_running_loop().time() - self._started
        taken, market = self._accepted_orders - self._orders, self._venue.market_time
        for step in self._steps:
            if (
                (step.after is not None and passed >= step.after)
                or (step.market is not None and market >= step.market)
                or (step.orders is not None and taken >= step.orders)
            ):
                return step
        return None

    async def _wait_until_due(self) -> None:
        moments = [step.after for step in self._steps if step.after is not None]
        until = self._started + min(moments) if moments else None
        try:
            async with asyncio.timeout_at(until):
                await self._progressed.wait()
        except TimeoutError:
            return

    async def _perform(self, step: ScenarioStep) -> None:
        assert self._actions is not None
        try:
            result = await self._actions.perform(step.fault, step.details)
        except BotlibError as error:
            self.errors.append(f"{step.fault}: {error}")
            logger.error("The fault %s could not be performed: %s", step.fault, error)
        else:
            self.performed += 1
            logger.info("fault %s %s: %s", step.fault, dict(step.details), result)
