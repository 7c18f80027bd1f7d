"""WebSocket connections: market streams, user data streams, and the lockstep of a market.

What enters are the subscriptions of clients, the feeds of the market and the events of accounts;
what leaves are WebSocket frames, changed by faults if any are ordered. A client that reads too
slowly is waited for, or disconnected if the market follows a clock.
"""
