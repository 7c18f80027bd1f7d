"""The engine: services, default tasks, health, and the one place where they are wired."""

from botlib.engine.orchestrator import Orchestrator
from botlib.engine.progress import Step, watch_progress
from botlib.engine.service import ServiceInfo, Services, ServiceState
from botlib.engine.summary import SUMMARY_MIME, RunSummary, summary_table
from botlib.engine.trading import ActiveStrategy
from botlib.engine.waiting import first_of

__all__ = [
    "SUMMARY_MIME",
    "ActiveStrategy",
    "Orchestrator",
    "RunSummary",
    "ServiceInfo",
    "ServiceState",
    "Services",
    "Step",
    "first_of",
    "summary_table",
    "watch_progress",
]
