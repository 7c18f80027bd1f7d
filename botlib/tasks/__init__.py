"""The task manager: named, supervised background work on one event loop.

What enters are task configurations: functions with a schedule, a priority and limits. The manager
runs them side by side, restarts those that fail, and stops them in order. What leaves is their
status, their health and a report of the stop.

::

    manager = BackgroundTaskManager()

    @manager.task(interval="30s", priority="HIGH", timeout=20)
    async def spread_watch(): ...

    await manager.start_all()
    manager                      # a table of all tasks
    await manager.stop_all()
"""

from botlib.tasks.config import TaskConfig, TaskPriority
from botlib.tasks.environment import beat
from botlib.tasks.health import Health
from botlib.tasks.manager import BackgroundTaskManager
from botlib.tasks.status import ManagerStatus, StopReport, TaskState, TaskStatus
from botlib.tasks.task import ManagedTask

__all__ = [
    "BackgroundTaskManager",
    "Health",
    "ManagedTask",
    "ManagerStatus",
    "StopReport",
    "TaskConfig",
    "TaskPriority",
    "TaskState",
    "TaskStatus",
    "beat",
]
