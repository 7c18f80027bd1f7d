"""The state of an engine as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from botlib.core.text.masking import masked_values
from botlib.engine.strategies.condition import strategy_conditions

if TYPE_CHECKING:
    from botlib.engine.parts import BaseParts, TradingParts
    from botlib.engine.services import Services


def engine_status(services: Services, base: BaseParts, parts: TradingParts) -> dict[str, Any]:
    """Return the state of services, strategies, orders and limits of a started engine."""
    conditions = {one.name: one for one in strategy_conditions(base, parts)}
    values: dict[str, Any] = {
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
                "refusals": parts.orders.refusals.total.get(active.name, 0),
                "state": str(conditions[active.name].state),
                "detail": conditions[active.name].detail,
            }
            for active in parts.signals.strategies.values()
        ],
        "orders": {"sent": parts.orders.sent, "fills": parts.orders.fills},
        "risk": {**asdict(base.risk.limits), "halted": base.halts.first},
    }
    return {name: masked_values(value) for name, value in values.items()}
