"""Scenarios: faults in a file, each at its moment, and the player that performs them.

A scenario is a list of steps in YAML or JSON, or a mapping with ``steps`` and a ``seed``::

    seed: 7
    steps:
      - {at: +30s, fault: reset, target: streams}
      - {at: 2026-01-05T12:00, fault: drop, match: kline, for: 20s}
      - {at: after 3 orders, fault: restart, away: 2s}

``at`` is a span since the scenario began, a market time (UTC), or a number of orders the exchange
has taken since then. What else stands in a step is said about the fault (see `faults.kinds`).
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
"""Smallest number that is read as a time in ms; anything less was meant as something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioStep:
    """A fault at its moment: one of ``after`` (seconds), ``market`` (ms) and ``orders`` is set."""

    fault: str
    details: Mapping[str, Any]
    after: float | None = None
    market: int | None = None
    orders: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Steps in the order of the file, and the seed of chance."""

    steps: tuple[ScenarioStep, ...]
    seed: int = 0

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a scenario file.

        Raises:
            PaperExchangeError: it cannot be read, or holds something else; the message names the
                line, the value and what is accepted.
        """
        try:
            content = read_yaml(path, located=True)
        except ConfigError as error:
            text = str(error).replace("configuration file", "scenario file")
            raise PaperExchangeError(text.partition(" Write one with")[0]) from None
        return cls.of(content, repr(str(path)))

    @classmethod
    def of(cls, content: object, origin: str = "The scenario") -> Scenario:
        """Return the scenario that a list of steps, or a mapping with ``steps``, describes.

        Raises:
            PaperExchangeError: it describes none.
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
            steps=tuple(_step(step, origin, number) for number, step in enumerate(steps, 1)),
        )


def _step(step: object, origin: str, number: int) -> ScenarioStep:
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
        moment = _moment(step["at"])
        check_details(step["fault"], details)
    except BotlibError as error:
        raise PaperExchangeError(f"{place}: {error}") from None
    return ScenarioStep(fault=step["fault"], details=details, **moment)


def _example(name: str) -> str:
    return _ACCEPTED if name == "at" else "a kind of fault, such as reset"


def _moment(at: object) -> dict[str, Any]:
    if isinstance(at, datetime):
        return {"market": _ms(at)}
    if isinstance(at, date):
        return {"market": _ms(datetime.combine(at, time()))}
    if isinstance(at, int) and not isinstance(at, bool) and at >= _FIRST_MS:
        return {"market": at}
    if isinstance(at, str):
        if (orders := _ORDERS.fullmatch(at)) is not None:
            return {"orders": int(orders[1])}
        try:
            if at.startswith("+"):
                return {"after": parse_duration(at[1:])}
            return {"market": _ms(datetime.fromisoformat(at))}
        except (BotlibError, ValueError):
            pass
    raise PaperExchangeError(f"at is {at!r}. Accepted: {_ACCEPTED}.")


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1_000)


class ScenarioPlayer:
    """Performs scenarios on an exchange, and goes on where the exchange was started again.

    Attributes:
        faults: those of the exchange, through all its restarts.
        performed: steps that were performed.
        errors: what could not be performed, and why.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.performed = 0
        self.errors: list[str] = []
        self._acts: FaultActions | None = None
        self._venue: Venue | None = None
        self._steps: list[ScenarioStep] = []
        self._began = 0.0
        self._orders = 0
        self._moved = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many steps are still to come."""
        return len(self._steps)

    def enter(self, acts: FaultActions, venue: Venue) -> None:
        """Play on this exchange from now on."""
        self._acts, self._venue = acts, venue

    def load(self, scenario: Scenario) -> None:
        """Play a scenario from now on, in place of what was left of another."""
        assert self._venue is not None
        self.faults.seed(scenario.seed)
        self._steps = list(scenario.steps)
        self._began = asyncio.get_running_loop().time()
        self._orders = self._taken
        self.performed, self.errors = 0, []
        self._moved.set()

    async def run(self) -> None:
        """Perform what is due until cancelled."""
        while True:
            # Without a step that waits for them, nobody has to tell of prices and orders.
            told = any(step.after is None for step in self._steps)
            self.faults.time_changed = self._notice if told else no_one
            self._moved.clear()
            while (step := self._due()) is not None:
                self._steps.remove(step)
                await self._perform(step)
            await self._pause()

    def _notice(self) -> bool:
        self._moved.set()
        return True

    @property
    def _taken(self) -> int:
        assert self._venue is not None
        return self._venue.engine.state.counters.order

    def _due(self) -> ScenarioStep | None:
        assert self._venue is not None
        passed = asyncio.get_running_loop().time() - self._began
        taken, market = self._taken - self._orders, self._venue.market_time
        for step in self._steps:
            if (
                (step.after is not None and passed >= step.after)
                or (step.market is not None and market >= step.market)
                or (step.orders is not None and taken >= step.orders)
            ):
                return step
        return None

    async def _pause(self) -> None:
        moments = [step.after for step in self._steps if step.after is not None]
        until = self._began + min(moments) if moments else None
        try:
            async with asyncio.timeout_at(until):
                await self._moved.wait()
        except TimeoutError:
            return

    async def _perform(self, step: ScenarioStep) -> None:
        assert self._acts is not None
        try:
            told = await self._acts.perform(step.fault, step.details)
        except BotlibError as error:
            self.errors.append(f"{step.fault}: {error}")
            logger.error("The fault %s could not be performed: %s", step.fault, error)
        else:
            self.performed += 1
            logger.info("fault %s %s: %s", step.fault, dict(step.details), told)
