"""The fire drill: faults played against a bot of its own, and how it came through, graded."""

from botlib.drill.drill import STEPS, fire_drill
from botlib.drill.report import DrillReport, DrillRow

__all__ = ["STEPS", "DrillReport", "DrillRow", "fire_drill"]
