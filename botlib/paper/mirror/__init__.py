"""The mirror of a real venue: its public streams and history, for an exchange that trades on them.

What enters are the venue's frames and answers; what leaves are a market, feeds and books that show
the venue at the present, and a cache of its closed candles. Only addresses of public market data
are known here: nothing can be ordered there, and no key is ever sent.
"""
