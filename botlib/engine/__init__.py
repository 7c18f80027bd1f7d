"""The engine: services, default tasks, health, and the one place where they are wired."""

from botlib.core.asynctools import first_of
from botlib.engine.orchestrator import Orchestrator
from botlib.engine.services import ServiceInfo, Services, ServiceState
from botlib.engine.signals import ActiveStrategy
from botlib.views.progress import ProgressStep, watch_progress
from botlib.views.summary import SUMMARY_MIME, RunSummary, summary_table

__all__ = [
    "SUMMARY_MIME",
    "ActiveStrategy",
    "Orchestrator",
    "ProgressStep",
    "RunSummary",
    "ServiceInfo",
    "ServiceState",
    "Services",
    "first_of",
    "summary_table",
    "watch_progress",
]
