"""The tear sheet of a backtest: what it earned beside a benchmark, by month, and what it paid.

A result and a benchmark enter; figures and tables leave, and `botlib.backtesting.views.tear_sheet`
shows them. The figures take a few lines each and need numpy and pandas only. The tests compare them
with those of empyrical-reloaded, quantstats and vectorbt.
"""

from botlib.backtesting.tearsheet.sheet import TearSheet

__all__ = ["TearSheet"]
