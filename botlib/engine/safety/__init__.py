"""Guards of an engine that trades: arming, the kill switch, the execution watch."""
