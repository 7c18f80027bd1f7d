"""The fire drill: faults injected into a bot of its own, and a grade for each recovery.

The names of faults enter; a `DrillReport` with one row per fault leaves. The drill starts its own
paper exchange in a process and its own bot in a Jupyter kernel, checks the invariants after each
fault, and removes both at the end.
"""

from botlib.drill.drill import STEPS, fire_drill
from botlib.drill.report import DrillReport, DrillRow

__all__ = ["STEPS", "DrillReport", "DrillRow", "fire_drill"]
