"""The matching engine of the paper exchange.

Filters, pegged prices, order lists, amendments and the matching of orders with the market and with
each other live here. Order requests and prices of the market enter through `MatchingEngine`.
Orders, their trades and the user events about them leave.
"""
