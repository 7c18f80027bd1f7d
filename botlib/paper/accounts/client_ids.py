"""The client ids that the exchange generates for requests without one."""

from __future__ import annotations

import hashlib
from typing import Final

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = 22
"""Letters and digits of an id that Binance generates."""


def generated_client_id(kind: str, *numbers: int) -> str:
    """Return a client id of 22 letters and digits, the same for the same arguments.

    Args:
        kind: what the id is for, such as ``order`` or ``cancel``.
        numbers: numbers of the request, which tell ids of a kind apart.
    """
    seed = f"{kind} {numbers}".encode()
    number = int.from_bytes(hashlib.sha256(seed).digest())
    letters = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        letters.append(_DIGITS[digit])
    return "".join(letters)
