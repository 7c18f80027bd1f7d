"""The guard of every HTTP and WebSocket server of the kit.

Routes and handlers enter; a server on the loopback address leaves, which admits connections
(`door`), refuses requests of web pages and of other computers, and bounds what a client may send
and how long it may take (`guard`). Who connects is read from the kernel (`peers`). Nothing that a
client sends is logged.
"""

from botlib.serving.guard import ServerRules, json_answer
from botlib.serving.server import HOST, LoopbackServer

__all__ = ["HOST", "LoopbackServer", "ServerRules", "json_answer"]
