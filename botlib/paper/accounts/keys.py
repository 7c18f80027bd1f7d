"""API keys: their account, their permissions, and how their requests are signed.

The keys and secrets of the default account are the same on every paper exchange and are no secrets:
they give access to a paper account on this computer only, which everyone who can reach its
loopback address can use anyway. They exist so that clients run their whole signing code.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
WITHDRAW: Final = "WITHDRAW"
USUAL: Final = frozenset({TRADE, USER_DATA})
"""Permissions that a key has unless others are given."""
PERMISSIONS: Final = USUAL | {WITHDRAW}

_KEY_FORMAT: Final = re.compile(r"[A-Za-z0-9]{64}")
_SEED: Final = b"botlib: the Ed25519 key of every paper exchange, worthless elsewhere"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of an account.

    Attributes:
        permissions: of `PERMISSIONS`.
        secret: secret of HMAC-SHA256 signatures, None for an Ed25519 key.
        public_key: public key of Ed25519 signatures, None for a key with a secret.
    """

    key: str
    account: str
    permissions: frozenset[str]
    secret: str | None = None
    public_key: Ed25519PublicKey | None = None

    @property
    def ed25519(self) -> bool:
        """Whether the key can log on to a session, which needs Ed25519."""
        return self.public_key is not None

    def check_permission(self, permission: str) -> None:
        """Check a permission.

        Raises:
            Refusal: the key does not have it.
        """
        if permission not in self.permissions:
            raise refusal(-2015)

    def verify(self, payload: str, signature: str) -> None:
        """Check a signature over ``payload``.

        Raises:
            Refusal: the signature was not made with this key.
        """
        if self.public_key is not None:
            valid = _is_valid(self.public_key, payload.encode(), signature)
        else:
            secret = (self.secret or "").encode()
            good = hmac.digest(secret, payload.encode(), "sha256").hex()
            valid = hmac.compare_digest(good.encode(), signature.lower().encode())
        if not valid:
            raise refusal(-1022)


class KeyRegister:
    """The API keys of all accounts; the default account has two from the start."""

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
        permissions: Iterable[str] = USUAL,
    ) -> ApiKey:
        """Add a key of an account, or replace the one with the same text.

        Args:
            key: 64 letters and digits.
            account: name of the account.
            secret: secret of HMAC-SHA256 signatures, or
            public_key: Ed25519 public key, as PEM.
            permissions: of `PERMISSIONS`.

        Raises:
            PaperExchangeError: an argument is not accepted.
        """
        if not _KEY_FORMAT.fullmatch(key):
            raise PaperExchangeError(f"{key!r} is no API key. Accepted: 64 letters and digits.")
        if (secret is None) == (public_key is None):
            raise PaperExchangeError(
                "An API key signs in one way. Accepted: either a secret, or an Ed25519 public key."
            )
        allowed = _checked_permissions(permissions)
        loaded = None if public_key is None else _load_public_key(public_key)
        added = ApiKey(key, account, allowed, secret, loaded)
        self._keys[key] = added
        return added

    def register(self, account: str, public_key: str) -> ApiKey:
        """Add a key that signs with Ed25519, whose text follows from the public key.

        Args:
            account: name of the account.
            public_key: Ed25519 public key, as PEM.

        Raises:
            PaperExchangeError: the public key cannot be read.
        """
        loaded = _load_public_key(public_key)
        text = hashlib.sha256(f"{account} {loaded.public_bytes_raw().hex()}".encode()).hexdigest()
        added = ApiKey(text, account, USUAL, public_key=loaded)
        self._keys[text] = added
        return added

    def permit(self, account: str, permissions: Iterable[str]) -> None:
        """Set what the keys of an account may do, until the exchange ends.

        Args:
            account: name of the account.
            permissions: of `PERMISSIONS`.

        Raises:
            PaperExchangeError: a permission is unknown, or the account has no key.
        """
        allowed = _checked_permissions(permissions)
        found = [key for key in self._keys.values() if key.account == account]
        if not found:
            raise PaperExchangeError(f"The account {account!r} has no API key. Open it first.")
        for key in found:
            self._keys[key.key] = replace(key, permissions=allowed)

    def withdraws(self, account: str) -> bool:
        """Return whether a key of an account may withdraw."""
        return any(
            WITHDRAW in key.permissions for key in self._keys.values() if key.account == account
        )

    def find(self, key: str | None, permission: str = USER_DATA) -> ApiKey:
        """Return a key by its text.

        Raises:
            Refusal: it is malformed or unknown, or lacks the permission.
        """
        if key is None or not _KEY_FORMAT.fullmatch(key):
            raise refusal(-2014)
        if key == PAPER_ED25519_API_KEY and key not in self._keys:
            # Created on first use: loading the cryptography library takes long, and most clients
            # never need it.
            public = _paper_ed25519_key().public_key()
            self._keys[key] = ApiKey(key, DEFAULT_ACCOUNT, USUAL, public_key=public)
        found = self._keys.get(key)
        if found is None:
            raise refusal(-2015)
        found.check_permission(permission)
        return found


def _checked_permissions(permissions: Iterable[str]) -> frozenset[str]:
    allowed = frozenset(permissions)
    if not allowed <= PERMISSIONS:
        raise PaperExchangeError(
            f"Unknown permissions {', '.join(sorted(allowed - PERMISSIONS))} of an API key. "
            f"Accepted: {', '.join(sorted(PERMISSIONS))}."
        )
    return allowed


def paper_private_key() -> str:
    """Return the private key of `PAPER_ED25519_API_KEY`, as PEM (PKCS#8, not encrypted)."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = _paper_ed25519_key()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@cache
def _paper_ed25519_key() -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_SEED).digest())


def _load_public_key(pem: str) -> Ed25519PublicKey:
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


def _is_valid(key: Ed25519PublicKey, payload: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature, validate=True), payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
