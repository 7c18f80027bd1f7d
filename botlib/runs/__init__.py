"""Headless runs: a notebook executed through papermill, with a saved copy and a report.

`run_notebook` refuses what would go wrong silently, runs the notebook in a kernel of the current
interpreter, stops it in order on SIGTERM and SIGINT, and leaves an executed notebook and a
self-contained HTML page behind.
"""

from botlib.runs.runner import RunReport, run_notebook

__all__ = ["RunReport", "run_notebook"]
