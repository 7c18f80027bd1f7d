"""The markets that a paper exchange can play: synthetic ones and replays of recordings.

What enters are a seed or candle files, and the market time; what leaves are candles, prices, order
books, public trades and their statistics, as Binance writes them. Nothing here knows an account:
the trades and the displayed orders of accounts are passed in.
"""
