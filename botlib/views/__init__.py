"""The engine as people see it: live charts, the dashboard, the run summary and progress bars.

A running engine enters through the read protocol in `botlib.views.engine`; widgets, tables and
figures leave. Views read, and decide nothing: only the dashboard's buttons ask the engine to act.
"""
