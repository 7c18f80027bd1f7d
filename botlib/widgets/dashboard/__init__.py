"""The dashboard: one widget with the account, tasks, positions, orders, feeds, log and kill switch.

It knows no engine. A `DashboardState` of `schema` enters; a widget or static HTML shows it, and the
actions that a person requests in the page leave.
"""

from botlib.widgets.dashboard.dashboard import Dashboard, Reply
from botlib.widgets.dashboard.delta import delta
from botlib.widgets.dashboard.schema import DashboardState

__all__ = ["Dashboard", "DashboardState", "Reply", "delta"]
