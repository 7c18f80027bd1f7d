"""What an engine is given of the world around it, so that a simulation can give its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botlib.engine.kill_switch import LOOK
from botlib.engine.paper_service import PaperService

if TYPE_CHECKING:
    import aiohttp

    from botlib.config import Settings


@dataclass(frozen=True, kw_only=True)
class EngineEnvironment:
    """The paper exchange, the way to it, chance, and threads.

    Attributes:
        paper: makes the service that starts a paper exchange, or reaches it.
        connector: makes what a paper exchange is dialled with; None is sockets.
        rng: source of the jitter of retries and renewals.
        look: seconds between two looks for the stop file.
        health_check_interval: seconds between two looks at the health of the tasks.
        threads: for tasks that are plain functions; 0 runs them on the loop itself.
    """

    paper: Callable[[Settings], PaperService] = PaperService
    connector: Callable[[], aiohttp.BaseConnector] | None = None
    rng: random.Random = field(default_factory=random.Random)
    threads: int = 8
    look: float = LOOK
    health_check_interval: float = 5.0
