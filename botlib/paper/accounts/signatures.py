"""The checks of a signed request: its signature and its timestamp."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from botlib.core.clock import SystemClock
from botlib.paper.accounts.keys import ApiKey
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal, missing, refusal

_SIGNATURE: Final = re.compile(r"(?:^|&)signature=([^&]*)")
_WINDOW_FORMAT: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")
_ENCODED: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")
"""The characters of a query that is percent-encoded (RFC 3986, 3.4)."""
_AHEAD: Final = 1_000
_WINDOW: Final = 5_000.0
_MAX_WINDOW: Final = 60_000
_MICROSECONDS: Final = 10**14
"""Larger timestamps are in microseconds, smaller ones in milliseconds."""
_CLOCK: Final = SystemClock()


def wall_time() -> int:
    """Return the wall time in ms, which signed requests carry whatever the market time is."""
    return _CLOCK.now()


def check_rest_signature(key: ApiKey, query: str, body: str) -> None:
    """Check the signature of a REST request.

    Args:
        key: API key of the request.
        query: raw query string.
        body: raw body. The signature is in the query or in the body.

    Raises:
        Refusal: there is no signature, or it is wrong.
    """
    found = _SIGNATURE.search(query) or _SIGNATURE.search(body)
    if found is None or not found[1]:
        raise missing("signature")
    payload = _unsigned(query) + _unsigned(body)
    if not _ENCODED.fullmatch(payload):
        # Binance signs the percent-encoded text, so no other signature is valid.
        raise refusal(-1022)
    key.verify(payload, unquote(found[1]))


def _unsigned(text: str) -> str:
    found = _SIGNATURE.search(text)
    if found is None:
        return text
    rest = text[: found.start()] + text[found.end() :]
    return rest.removeprefix("&") if found.start() == 0 else rest


def check_ws_signature(key: ApiKey, params: Mapping[str, str]) -> None:
    """Check the signature of a WebSocket request, over its parameters sorted by name.

    Raises:
        Refusal: there is no signature, or it is wrong.
    """
    if not params.get("signature"):
        raise missing("signature")
    signed = sorted(name for name in params if name != "signature")
    key.verify("&".join(f"{name}={params[name]}" for name in signed), params["signature"])


def check_timing(params: Params, now: int) -> None:
    """Check the timestamp of a signed request.

    Args:
        params: parameters of the request.
        now: wall time, ms.

    Raises:
        Refusal: the timestamp is missing, in the future, or older than the receive window.
    """
    sent = params.integer("timestamp")
    if sent is None:
        raise missing("timestamp")
    # Not rounded down to ms, which would make the request look up to 1 ms older than it is.
    moment = sent / 1_000 if sent > _MICROSECONDS else float(sent)
    window = _WINDOW
    text = params.text("recvWindow")
    if text is not None:
        if not _WINDOW_FORMAT.fullmatch(text):
            raise missing("recvWindow")
        window = float(text)
    if window > _MAX_WINDOW:
        raise refusal(-1131)
    if moment >= now + _AHEAD:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - moment > window:
        raise refusal(-1021)
