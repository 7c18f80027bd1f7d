"""The rules of trading as pure functions: sizes, stops, positions and risk limits.

Fills, prices and the market's steps enter; amounts, price levels, positions and refusals leave.
Nothing here does I/O or reads a clock, so a backtest, a replay and a live run apply the same rules.
"""
