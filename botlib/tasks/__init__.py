"""The task manager: named, supervised background work on one event loop.

::

    manager = BackgroundTaskManager()

    @manager.task(interval="30s", priority="HIGH", timeout=20)
    async def spread_watch(): ...

    await manager.start_all()
    manager                      # a table of what every task does
    await manager.stop_all()
"""

from botlib.tasks.config import TaskConfig, TaskPriority
from botlib.tasks.current import beat
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
