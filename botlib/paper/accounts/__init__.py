"""The accounts of the paper exchange, in memory and on disk.

Balances, orders, trades, API keys and the SQLite ledger that stores them live here. Changes enter
as a `Transaction`, which the ledger writes before the state in memory changes. Records, balances
and user events leave.
"""
