"""The state of an engine as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botlib.engine.parts import TradingParts
    from botlib.engine.services import Services
    from botlib.execution import HaltLatch
    from botlib.trading.risk import RiskValidator


def engine_status(
    services: Services, parts: TradingParts, risk: RiskValidator, halts: HaltLatch
) -> dict[str, Any]:
    """Return the state of services, strategies, orders and limits of a started engine."""
    return {
        "services": {
            service.name: {"state": service.state.value, "error": service.error}
            for service in services.all()
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
                "refused": parts.orders.refused.get(active.name),
            }
            for active in parts.signals.strategies.values()
        ],
        "orders": {"sent": parts.orders.sent, "fills": parts.orders.fills},
        "risk": {**asdict(risk.limits), "halted": halts.first},
    }
