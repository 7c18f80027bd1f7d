"""The state of an engine as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator


def engine_status(engine: Orchestrator) -> dict[str, Any]:
    """Return the state of services, strategies, orders and limits of a started engine."""
    return {
        "services": {
            service.name: {"state": service.state.value, "error": service.error}
            for service in engine.services.all()
        },
        "strategies": [
            {
                "name": active.name,
                "strategy": repr(active.strategy),
                "symbol": active.symbol,
                "evaluations": active.evaluations,
                "signals": active.signals,
                "errors": active.errors,
                "skipped": active.skipped,
                "refused": engine.orders.refused.get(active.name),
            }
            for active in engine.signals.strategies.values()
        ],
        "orders": {"sent": engine.orders.sent, "fills": engine.orders.fills},
        "risk": {**asdict(engine.risk.limits), "halted": engine.risk.halted},
    }
