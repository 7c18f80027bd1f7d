"""Binance's protocol, shared by every part of the exchange: parameters, refusals and time units.

What enters are the texts of requests and the fields of stored records; what leaves are checked
values, and Binance's error codes in Binance's words. Nothing here knows a market or an account.
"""
