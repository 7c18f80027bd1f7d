"""Venues: the contract of an exchange, one implementation per venue, and a registry of them.

What enters is a venue's name, and requests in the words of `botlib.core.model`; what leaves are
candles, order books, orders, fills and balances in the same words. Names, error codes and limits of
a venue stay in here: code above reads limits from its `VenueCapabilities`, and builds an exchange
with `registry.build_exchange`.
"""
