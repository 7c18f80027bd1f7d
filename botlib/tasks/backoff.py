"""How long to wait before a failed task runs again, and when to give up."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Final

_DOUBLINGS: Final = 32
"""Exponent after which the delay is certainly capped; keeps the power finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When and how often a failed task runs again.

    Args:
        enabled: whether it does at all.
        max_restarts: restarts granted within ``window``; one failure more and it stays failed.
        window: seconds over which failures are counted.
        base: seconds before the first restart; every further failure in a row doubles them.
        cap: longest delay in seconds.
    """

    enabled: bool = True
    max_restarts: int = 5
    window: float = 300.0
    base: float = 1.0
    cap: float = 60.0

    def delay(self, failures: int, rng: random.Random) -> float:
        """Return the seconds to wait after ``failures`` in a row.

        The delay is drawn from the upper half of the exponential step, so that tasks which failed
        together do not come back together.
        """
        step = min(self.cap, self.base * 2.0 ** min(failures - 1, _DOUBLINGS))
        return step * rng.uniform(0.5, 1.0)


class RestartCounter:
    """Failures of one task within the window of its policy."""

    __slots__ = ("_failures", "_policy")

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._failures: deque[float] = deque()

    def grants(self, now: float) -> bool:
        """Count a failure at ``now`` (monotonic seconds); tell whether a restart is granted."""
        policy = self._policy
        if not policy.enabled:
            return False
        failures = self._failures
        failures.append(now)
        while now - failures[0] > policy.window:
            failures.popleft()
        return len(failures) <= policy.max_restarts

    def clear(self) -> None:
        """Forget all failures: a person has started the task again."""
        self._failures.clear()
