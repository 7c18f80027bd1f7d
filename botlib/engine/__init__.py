"""The engine: its parts, the services that start them in order, the default tasks and its health.

Settings enter, and the environment that a simulation replaces. What leaves is one `Orchestrator`,
which strategies trade on and views read; nothing here draws or formats for a person.
"""

from botlib.engine.health import EngineHealth
from botlib.engine.orchestrator import Orchestrator
from botlib.engine.services import ServiceInfo, Services, ServiceState
from botlib.engine.strategies.active import ActiveStrategy

__all__ = [
    "ActiveStrategy",
    "EngineHealth",
    "Orchestrator",
    "ServiceInfo",
    "ServiceState",
    "Services",
]
