"""Venues: what the kit asks of one, Binance, and a paper exchange that speaks its protocol."""
