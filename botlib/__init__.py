"""botlib: a Jupyter-first kit for crypto research and live trading."""
