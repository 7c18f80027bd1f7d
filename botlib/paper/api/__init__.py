"""The REST API and the WebSocket API of the paper exchange, as Binance's spot exchange has them.

The table of operations, their parameters, rate limits and answers live here. HTTP requests and
WebSocket messages enter. Answers leave as JSON, with Binance's field names and error codes.
"""
