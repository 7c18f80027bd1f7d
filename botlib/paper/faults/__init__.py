"""Faults on demand: what the exchange does wrong when it is told to, and when."""

from botlib.paper.faults.fault import Fault
from botlib.paper.faults.kinds import CRASHES, FRAMES, KINDS, SOCKET, check_details
from botlib.paper.faults.registry import Faults

__all__ = ["CRASHES", "FRAMES", "KINDS", "SOCKET", "Fault", "Faults", "check_details"]
