"""The dashboard: one widget with the account, tasks, positions, orders, feeds, log and kill switch.

It knows no engine. Its `State` is a dict of sections. A section is a dict of plain JSON values, or
a table: ``{"order": [keys], "rows": {key: {column: value}}}``.
"""

from botlib.widgets.dashboard.dashboard import Dashboard, Reply
from botlib.widgets.dashboard.delta import State, delta

__all__ = ["Dashboard", "Reply", "State", "delta"]
