"""The paper exchange: a synthetic or replayed market behind Binance's own protocol."""
