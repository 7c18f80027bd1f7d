"""`EngineEnvironment`: what an engine uses of the world around it; a simulation replaces it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botlib.engine.paper.service import PaperService
from botlib.engine.safety.kill_switch import STOP_FILE_INTERVAL

if TYPE_CHECKING:
    import aiohttp

    from botlib.config import Settings


@dataclass(frozen=True, kw_only=True)
class EngineEnvironment:
    """The paper exchange, the connections to it, randomness, threads and intervals.

    Attributes:
        paper: returns the service that starts a paper exchange, or connects to one.
        connector: returns the connector for requests to a paper exchange; None uses sockets.
        rng: source of the jitter of retries and renewals.
        stop_file_interval: seconds between two checks for the stop file.
        health_check_interval: seconds between two checks of the tasks' health.
        threads: for tasks that are plain functions; 0 runs them on the loop itself.
    """

    paper: Callable[[Settings], PaperService] = PaperService
    connector: Callable[[], aiohttp.BaseConnector] | None = None
    rng: random.Random = field(default_factory=random.Random)
    threads: int = 8
    stop_file_interval: float = STOP_FILE_INTERVAL
    health_check_interval: float = 5.0
