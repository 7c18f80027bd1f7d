"""Who may trade: the key pair of the paper exchange, and Binance's checks of a signed request.

The key and the secret are the same everywhere and printed here. They open a paper account on this
computer, which anybody who reaches its loopback address could reach anyway, and nothing else: so
there is nothing to keep, and a client is set up without passing secrets around. They exist so that
the whole signing path of a client is exercised.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from botlib.clock import SystemClock
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.refusals import Refusal, missing

PAPER_API_KEY: Final = "PaperExchangeKeyWorthlessElsewhere".ljust(64, "0")
PAPER_API_SECRET: Final = "PaperExchangeSecretWorthlessElsewhere".ljust(64, "0")

_KEY_FORMAT: Final = re.compile(r"[A-Za-z0-9]{64}")
_SIGNATURE: Final = re.compile(r"(?:^|&)signature=([^&]*)")
_AHEAD: Final = 1_000
_WINDOW: Final = 5_000
_MAX_WINDOW: Final = 60_000
_CLOCK: Final = SystemClock()


def wall_time() -> int:
    """Return the computer's time in ms: what requests are signed with, whatever the market's."""
    return _CLOCK.now()


def check_key(key: str | None) -> None:
    """Refuse a key that is none, or not ours."""
    if key is None or not _KEY_FORMAT.fullmatch(key):
        raise Refusal(-2014, "API-key format invalid.", 401)
    if not hmac.compare_digest(key, PAPER_API_KEY):
        raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_rest_signature(query: str, body: str) -> None:
    """Check the signature over raw query and raw body, whichever of them carries it."""
    found = _SIGNATURE.search(query) or _SIGNATURE.search(body)
    if found is None:
        raise missing("signature")
    payload = _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)
    _compare(payload, unquote(found[1]))


def check_ws_signature(params: Mapping[str, str]) -> None:
    """Check the signature over the parameters sorted by name."""
    if not params.get("signature"):
        raise missing("signature")
    signed = sorted(name for name in params if name != "signature")
    payload = "&".join(f"{name}={params[name]}" for name in signed)
    _compare(payload, params["signature"])


def _compare(payload: str, signature: str) -> None:
    good = hmac.new(PAPER_API_SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(good.encode(), signature.lower().encode()):
        raise Refusal(-1022, "Signature for this request is not valid.")


def check_timing(params: Params, now: int) -> None:
    """Check the timestamp of a signed request against the wall clock (ms)."""
    sent = params.integer("timestamp")
    if sent is None:
        raise missing("timestamp")
    if sent > 10**14:
        sent //= 1_000  # microseconds are accepted as well
    try:
        window = float(params.text("recvWindow") or _WINDOW)
    except ValueError:
        raise missing("recvWindow") from None
    if window > _MAX_WINDOW:
        raise Refusal(-1131, "recvWindow must be less than 60000.")
    if sent >= now + _AHEAD:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - sent > window:
        raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
