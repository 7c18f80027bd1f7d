"""The operator's side of the paper exchange, under ``/paper/v1/``, which Binance does not have.

Administration of accounts and symbols, faults on request and scenarios of faults live here. JSON
requests and scenario files enter. JSON answers leave, and the venue, its sockets and its fault
registry are changed.
"""
