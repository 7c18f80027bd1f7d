"""The state of a dashboard, without an engine."""

from __future__ import annotations

from typing import Any, cast

from botlib.venues.kinds import KINDS
from botlib.widgets.dashboard import DashboardState


def state(**changes: Any) -> DashboardState:
    """Return a state with one task; changes are ``section__column``, or ``task__column``."""
    empty: dict[str, Any] = {"order": [], "rows": {}}
    task = {
        "name": "watch", "group": "", "state": "running", "health": "ok", "priority": "HIGH",
        "schedule": "every 30 s", "runs": 1, "failures": 0, "overruns": 0, "last": None,
        "took": None, "next": None, "late": None, "late99": None, "error": "", "can": ["stop"],
    }  # fmt: skip
    made: dict[str, Any] = {
        "head": {
            "mode": "paper", "venue": "paper:synthetic:seed=42",
            "note": KINDS["paper"].note, "words": KINDS["paper"].words,
            "running": True, "healthy": True, "reasons": [], "warnings": [],
            "market_time": 1_767_571_200_000, "now": 0, "started": 0, "strategies": 0,
            "signals": 0, "url": "",
        },
        "account": {
            "quote": "USDT", "equity": 10_000.0, "start": 10_000.0, "realised": 0.0,
            "unrealised": 0.0, "exposure": 0.0, "day": None,
        },
        "curve": {"values": [10_000.0, 10_001.0]},
        "risk": {
            "killed": None, "halted": None, "rejected": 0, "max_exposure": 5_000.0,
            "max_daily_loss": 500.0, "stop_file": "data/STOP", "token_file": "",
        },
        "loop": {"lag": 0.001, "p50": 0.0, "p99": 0.0, "worst": 0.0, "limit": 1.0, "stall": ""},
        "tasks": {"order": ["watch"], "rows": {"watch": task}},
        **dict.fromkeys("strategies positions books holds orders fills feeds log".split(), empty),
    }  # fmt: skip
    for name, value in changes.items():
        section, column = name.split("__")
        if section == "task":
            made["tasks"]["rows"]["watch"][column] = value
        else:
            made[section][column] = value
    return cast(DashboardState, made)
