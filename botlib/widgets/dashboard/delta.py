"""The difference between two states, so that little has to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botlib.widgets.dashboard.schema import DashboardChanges


def delta(before: Mapping[str, Any], after: Mapping[str, Any]) -> DashboardChanges:
    """Return the changes that turn ``before`` into ``after``; empty if they are equal.

    They hold, for a section of values, the values that differ; for a table, the columns that
    differ by row, and the order of the rows if it differs. A row that is not in the order is
    removed.
    """
    changes: DashboardChanges = {}
    for name, section in after.items():
        known = before.get(name, {})
        change = _table(known, section) if "rows" in section else _values(known, section)
        if change:
            changes[name] = change
    return changes


def _values(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in after.items() if key not in before or before[key] != value}


def _table(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    known = before.get("rows", {})
    rows = {}
    for key, row in after["rows"].items():
        if changed := _values(known.get(key, {}), row):
            rows[key] = changed
    change: dict[str, Any] = {"rows": rows} if rows else {}
    if before.get("order") != after["order"]:
        change["order"] = after["order"]
    return change
