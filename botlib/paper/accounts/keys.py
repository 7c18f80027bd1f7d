"""API keys: whose account each opens, what it may do, and how its requests are signed.

The exchange's own keys and secrets are the same everywhere and printed here. They open a paper
account on this computer, which anybody who reaches its loopback address could reach anyway, and
nothing else: so there is nothing to keep, and a client is set up without passing secrets around.
They exist so that the whole signing path of a client is exercised.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from botlib.core.errors import PaperExchangeError
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAPER_API_KEY: Final = "PaperExchangeKeyWorthlessElsewhere".ljust(64, "0")
PAPER_API_SECRET: Final = "PaperExchangeSecretWorthlessElsewhere".ljust(64, "0")
PAPER_ED25519_API_KEY: Final = "PaperExchangeEd25519KeyWorthlessElsewhere".ljust(64, "0")

TRADE: Final = "TRADE"
USER_DATA: Final = "USER_DATA"
PERMISSIONS: Final = frozenset({TRADE, USER_DATA})

_KEY_FORMAT: Final = re.compile(r"[A-Za-z0-9]{64}")
_SEED: Final = b"botlib: the Ed25519 key of every paper exchange, worthless elsewhere"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key and the account it opens. It signs with a secret, or with an Ed25519 key."""

    key: str
    account: str
    permissions: frozenset[str]
    secret: str | None = None
    public_key: Ed25519PublicKey | None = None

    @property
    def ed25519(self) -> bool:
        """Whether it may log on a session."""
        return self.public_key is not None

    def allow(self, permission: str) -> None:
        """Refuse what the key may not do."""
        if permission not in self.permissions:
            raise refusal(-2015)

    def verify(self, payload: str, signature: str) -> None:
        """Refuse a signature that is not this key's over ``payload``."""
        if self.public_key is not None:
            valid = _valid(self.public_key, payload.encode(), signature)
        else:
            secret = (self.secret or "").encode()
            good = hmac.digest(secret, payload.encode(), "sha256").hex()
            valid = hmac.compare_digest(good.encode(), signature.lower().encode())
        if not valid:
            raise refusal(-1022)


class KeyRegister:
    """The keys that are known: at first the exchange's own two, which open the default account."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self.add(PAPER_API_KEY, DEFAULT_ACCOUNT, secret=PAPER_API_SECRET)

    def add(
        self,
        key: str,
        account: str,
        *,
        secret: str | None = None,
        public_key: str | None = None,
        permissions: Iterable[str] = PERMISSIONS,
    ) -> ApiKey:
        """Let a key open an account; a key that exists is replaced.

        Args:
            key: 64 letters and digits.
            secret: what it signs with, HMAC-SHA256.
            public_key: or its Ed25519 public key, as PEM.
            permissions: what it may do, of `PERMISSIONS`.

        Raises:
            PaperExchangeError: one of them is not what it should be.
        """
        if not _KEY_FORMAT.fullmatch(key):
            raise PaperExchangeError(f"{key!r} is no API key. Accepted: 64 letters and digits.")
        if (secret is None) == (public_key is None):
            raise PaperExchangeError(
                "An API key signs in one way. Accepted: either a secret, or an Ed25519 public key."
            )
        allowed = frozenset(permissions)
        if not allowed <= PERMISSIONS:
            raise PaperExchangeError(
                f"Unknown permissions {', '.join(sorted(allowed - PERMISSIONS))} of an API key. "
                f"Accepted: {', '.join(sorted(PERMISSIONS))}."
            )
        loaded = None if public_key is None else _load(public_key)
        added = ApiKey(key, account, allowed, secret, loaded)
        self._keys[key] = added
        return added

    def find(self, key: str | None, permission: str = USER_DATA) -> ApiKey:
        """Return a key by its text.

        Raises:
            Refusal: it is malformed, unknown, or not entitled.
        """
        if key is None or not _KEY_FORMAT.fullmatch(key):
            raise refusal(-2014)
        if key == PAPER_ED25519_API_KEY and key not in self._keys:
            # Created on first use: loading the cryptography library takes long, and most clients
            # never need it.
            public = _own_key().public_key()
            self._keys[key] = ApiKey(key, DEFAULT_ACCOUNT, PERMISSIONS, public_key=public)
        found = self._keys.get(key)
        if found is None:
            raise refusal(-2015)
        found.allow(permission)
        return found


def paper_private_key() -> str:
    """Return the private key of `PAPER_ED25519_API_KEY`, as PEM (PKCS#8, not encrypted)."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = _own_key()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@cache
def _own_key() -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_SEED).digest())


def _load(pem: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        loaded = load_pem_public_key(pem.encode())
    except ValueError:
        loaded = None
    if not isinstance(loaded, Ed25519PublicKey):
        raise PaperExchangeError(
            "The public key cannot be read. Accepted: an Ed25519 public key as PEM text."
        )
    return loaded


def _valid(key: Ed25519PublicKey, payload: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature, validate=True), payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
