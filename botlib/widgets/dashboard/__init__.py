"""The dashboard: one widget with the account, tasks, positions, orders, feeds, log and kill switch.

A `DashboardState` (see `schema`) enters; a widget or static HTML leaves, and the actions that are
requested in the page are passed to a callback. The engine is not imported.
"""

from botlib.widgets.dashboard.dashboard import Dashboard, Reply
from botlib.widgets.dashboard.delta import delta
from botlib.widgets.dashboard.schema import DashboardState

__all__ = ["Dashboard", "DashboardState", "Reply", "delta"]
