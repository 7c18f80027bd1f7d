"""Backtests: strategies over stored candles, through vectorbt."""
