"""Pictures, cards and reports of backtests, sweeps and walk forwards.

Results enter; plotly figures, charts and HTML leave. Nothing here computes a figure of its own.
"""
