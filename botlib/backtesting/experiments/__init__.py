"""The experiment book of research: what a run writes into it, and how runs are listed and compared.

A strategy and the result of a run enter, and a row of the book leaves (`recording`); the rows of
the book enter, and tables, cards and pictures leave (`listing`, `comparison`).
"""

from botlib.backtesting.experiments.comparison import ExperimentComparison
from botlib.backtesting.experiments.listing import Experiments

__all__ = ["ExperimentComparison", "Experiments"]
