"""The public trades of a symbol: the path of each candle, and the accounts' trades among them.

Prices of candles enter; numbered trades leave, and what they add up to.
"""
