"""The request that throws the kill switch: its token, its size and its body."""

from __future__ import annotations

import json
from typing import Final

TOKEN_HEADER: Final = "X-Botlib-Token"

MAX_BODY: Final = 4_096
"""Most bytes of a request; a reason is a sentence."""


def kill_request(body: str) -> tuple[str, bool]:
    """Return the reason, and whether to sell every position; an empty body stops entries only.

    Raises:
        ValueError: the body is not as expected.
    """
    try:
        request = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not request.keys() <= {"reason", "close_positions"}:
        raise ValueError(
            f"Cannot read {body[:100]!r} as a kill request. "
            'Accepted: {"reason": "text", "close_positions": false}, or no body.'
        )
    reason, close = request.get("reason", ""), request.get("close_positions", False)
    if not isinstance(reason, str) or not isinstance(close, bool):
        raise ValueError("reason is a text, close_positions is true or false.")
    return reason, close
