"""Faults that can be ordered: errors of the exchange for tests of a client.

What enters are the kinds of faults with their details, and the occasions on which they may strike:
frames, requests and orders; what leaves is the fault that strikes, or the changed frame. Faults of
the sockets and of the venue are performed by `operator.fault_actions`.
"""

from botlib.paper.faults.fault import Fault
from botlib.paper.faults.kinds import CRASHES, FRAMES, KINDS, SOCKET, check_details
from botlib.paper.faults.registry import Faults

__all__ = ["CRASHES", "FRAMES", "KINDS", "SOCKET", "Fault", "Faults", "check_details"]
