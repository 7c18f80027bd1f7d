"""The control page of a running engine, over HTTP on this computer only.

Callables that return health and task status, and one that stops entries, enter; JSON answers on
``/health``, ``/api/v1/tasks/status`` and ``/api/v1/kill`` leave. No engine is imported here.
"""

from botlib.control.requests import TOKEN_HEADER
from botlib.control.server import ControlServer

__all__ = ["TOKEN_HEADER", "ControlServer"]
