"""The faults of frames: lost, repeated, delayed, reordered and damaged ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from botlib.paper.faults.registry import Faults


class FrameFaults:
    """The faults of the frames of one group of connections.

    Args:
        faults: the faults that are ordered.
        later: sends a delayed frame (its stream, its payload).
    """

    def __init__(self, faults: Faults, later: Callable[[str, bytes], object]) -> None:
        self._faults = faults
        self._later = later
        self._kept: dict[str, bytes] = {}

    @property
    def idle(self) -> bool:
        """Whether every frame is sent unchanged."""
        return not (self._faults.frames or self._kept)

    def apply(self, place: str, payload: bytes, symbol: str) -> list[bytes]:
        """Return the payloads that are sent now instead of a frame, in order.

        Args:
            place: the stream's name, or ``user@`` and the event's type.
            payload: payload of the frame.
            symbol: id of the frame's symbol, "" for none.
        """
        take = self._faults.take
        kept = self._kept.pop(place, None)
        behind = [] if kept is None else [kept]
        if take("drop", place, symbol):
            return behind
        if (fault := take("corrupt", place, symbol)) is not None:
            payload = _damaged(payload, fault.text, fault.values)
        if (fault := take("delay", place, symbol)) is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(fault.seconds, self._later, place, payload)
            return behind
        if kept is None and take("reorder", place, symbol):
            self._kept[place] = payload
            return []
        if take("duplicate", place, symbol):
            return [payload, payload, *behind]
        return [payload, *behind]


def _damaged(payload: bytes, text: str, values: Mapping[str, Any]) -> bytes:
    if text:
        return text.encode()
    if not values:
        return payload[: len(payload) // 2]
    frame = orjson.loads(payload)
    for name, value in values.items():
        *way, last = name.split(".")
        inner = frame
        for part in way:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, dict):
            inner[last] = value
    return orjson.dumps(frame)
