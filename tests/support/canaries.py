"""Canaries: keys that nobody may see, and a search for them that shares no code with the kit."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Iterable
from urllib.parse import quote

PIECE = 8

_RNG = random.Random(20)
KEY, SECRET = ("".join(_RNG.choices(string.ascii_letters + string.digits, k=64)) for _ in "ks")
ODD = "Zq/9+T&x=w~V!y%7(A)p*M:c"
"""One that looks different when it is percent-encoded or escaped."""
CANARIES = {"key": KEY, "secret": SECRET, "odd": ODD}


def needles(secret: str) -> set[bytes]:
    """Return the pieces of a secret in every form in which a text may hold them."""
    found: set[str] = set()
    for at in range(len(secret) - PIECE + 1):
        piece = secret[at : at + PIECE]
        found |= {piece, piece.encode().hex(), piece.encode().hex().upper(), quote(piece, safe="")}
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + piece.encode()).decode()
            inner = coded[-(-shift * 8 // 6) : (shift + PIECE) * 8 // 6]
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {one.encode() for one in found}


_NEEDLES = {name: needles(secret) for name, secret in CANARIES.items()}


def seen(content: bytes, among: Iterable[str] = CANARIES) -> list[str]:
    """Return the names of the canaries of which a piece is in some bytes."""
    return [name for name in among if any(needle in content for needle in _NEEDLES[name])]
