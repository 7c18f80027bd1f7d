"""Keys that an environment of Binance refuses, in sentences that say which keys belong to it."""

from __future__ import annotations

from typing import Final

from botlib.venues.binance.capabilities import BINANCE, BINANCE_DEMO, BINANCE_TESTNET
from botlib.venues.binance.gate import KEY_REFUSED

INVALID_SIGNATURE: Final = -1022

RECORDS: Final = {one.environment: one for one in (BINANCE, BINANCE_TESTNET, BINANCE_DEMO)}
"""The record of each environment."""


def key_advice(code: int | None, environment: str) -> str:
    """Return what to do about a refused key or signature, empty for any other error.

    Args:
        code: of the venue's error.
        environment: that refused it: live, testnet or demo.
    """
    record = RECORDS[environment]
    if code in KEY_REFUSED:
        others = " and ".join(
            f"{one.key_variable} for {one.environment}"
            for one in RECORDS.values()
            if one is not record
        )
        return (
            f"{record.title} is the environment {environment!r}, and its key is the one in "
            f"{record.key_variable}: it is not known there, may not do this, or not from this "
            f"address. Each environment has keys of its own, {others}; 'exchange: {{environment: "
            "…}' of the configuration chooses one."
        )
    if code == INVALID_SIGNATURE:
        return (
            f"The secret in {record.secret_variable} is not the one of the key in "
            f"{record.key_variable}: each environment has a pair of its own, and this is "
            f"{environment!r}."
        )
    return ""
