"""Headless runs: a notebook executed through papermill, with a saved copy and a report.

A notebook and its parameters enter; an executed notebook, a self-contained HTML page and a
`RunReport` leave. Parameters that papermill would silently ignore or publish are refused, and
SIGTERM and SIGINT stop a run in order.
"""

from botlib.runs.runner import RunReport, run_notebook

__all__ = ["RunReport", "run_notebook"]
