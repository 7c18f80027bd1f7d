"""Binance spot through ccxt.pro: one class reaches the real venue and the paper exchange alike.

What enters is `botlib.venues.base.Exchange`'s requests; what leaves are HTTP requests and websocket
messages in Binance's own words, and answers in the kit's. ccxt is imported here alone, and only
with `botlib.venues.binance.venue`: the record in `capabilities` is there without it.
"""
