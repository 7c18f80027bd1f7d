"""Masking: the one door for texts that leave the process.

Cards, tables, errors, log lines, JSON answers, notebooks and reports pass through `masked`, which
replaces every secret that `hide` was told: as it is, in base64 at any offset, in hexadecimal,
percent-encoded or escaped, and cut into pieces of `PIECE` characters and more.

A text is searched for short sequences of a secret at every fourth place only: a piece of eight
characters holds a sequence of five that starts at such a place. What is found is then compared to
both sides.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final
from urllib.parse import quote, quote_plus

MASK: Final = "•••"

PIECE: Final = 8
"""Least characters of a secret that are masked; fewer would be found by chance."""

_SEQUENCE: Final = 5
_STEP: Final = PIECE - _SEQUENCE + 1

_LONG: Final = 10_000
"""Characters from which on a text is searched with numpy."""


class Masker:
    """The secrets of a process, in the forms in which they may appear in a text."""

    def __init__(self) -> None:
        self._hidden: dict[str, None] = {}
        self._places: dict[str, tuple[tuple[str, int, int], ...]] = {}
        self._starts: Any = None

    def hide(self, *secrets: str) -> None:
        """Mask these in every text from now on; those of fewer than `PIECE` characters are not."""
        for secret in secrets:
            if len(secret) >= PIECE and secret not in self._hidden:
                self._hidden[secret] = None
                for form, least in _forms(secret):
                    self._add(form, least)

    def forget(self, *secrets: str) -> None:
        """Mask these no longer."""
        for secret in secrets:
            self._hidden.pop(secret, None)
        left, self._hidden, self._places = self._hidden, {}, {}
        self.hide(*left)

    def _add(self, form: str, least: int) -> None:
        self._starts = None
        for at in range(len(form) - _SEQUENCE + 1):
            sequence = form[at : at + _SEQUENCE]
            self._places[sequence] = (*self._places.get(sequence, ()), (form, at, least))

    def masked(self, text: str) -> str:
        """Return a text with all secrets and their pieces masked."""
        places = self._places
        if not places or len(text) < PIECE:
            return text
        found: list[tuple[int, int]] = []
        last = len(text) - _SEQUENCE + 1
        searched = range(0, last, _STEP) if len(text) < _LONG else self._likely(text, last)
        for at in [at for at in searched if text[at : at + _SEQUENCE] in places]:
            for form, where, least in places[text[at : at + _SEQUENCE]]:
                start, end = _common(text, at, form, where)
                if end - start >= least:
                    found.append((start, end))
        return _replaced(text, found) if found else text

    def _likely(self, text: str, last: int) -> Iterable[int]:
        """Return the places before ``last`` whose first three characters begin a sequence."""
        import numpy as np

        starts = self._starts
        if starts is None:
            starts = np.zeros(1 << 21, bool)
            for sequence in list(self._places):
                starts[_number(*sequence[:3].encode("ascii", "replace"))] = True
            self._starts = starts
        # One byte for each character, so that places stay the same.
        codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int32)
        first, second, third = (codes[at : last + at : _STEP] for at in range(3))
        found: list[int] = (np.flatnonzero(starts[_number(first, second, third)]) * _STEP).tolist()
        return found


_process: Final = Masker()
hide: Final = _process.hide
forget: Final = _process.forget
masked: Final = _process.masked


def masked_values(value: Any) -> Any:
    """Return a value of mappings, lists and plain values with every text in it masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked_values(key): masked_values(one) for key, one in value.items()}
    if isinstance(value, list):
        return [masked_values(one) for one in value]
    if isinstance(value, tuple):
        return tuple(masked_values(one) for one in value)
    return value


def _number(first: Any, second: Any, third: Any) -> Any:
    return first | second << 7 | third << 14


def _forms(secret: str) -> Iterable[tuple[str, int]]:
    """Yield the forms of a secret, and how many characters of each are a piece of it."""
    raw = secret.encode()
    texts = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), escape(secret)}
    texts |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    # Percent codes may have small letters.
    texts |= {quote(secret, safe="").replace("%2F", "%2f").replace("%2B", "%2b")}
    for text in texts:
        yield text, PIECE
    for digits in {raw.hex(), raw.hex().upper()}:
        yield digits, 2 * PIECE
    for shift in range(3):
        # Texts before it shift it by up to two bytes. Its first and last character may also encode
        # bits of its neighbours, and are left out.
        coded = base64.b64encode(b"\0" * shift + raw).decode()
        inner = coded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        for form in {inner, inner.replace("+", "-").replace("/", "_")}:
            yield form, PIECE * 8 // 6


def _common(text: str, at: int, form: str, where: int) -> tuple[int, int]:
    """Return the range of a text that is equal to a form around two places."""
    start, end = at, at + _SEQUENCE
    left, right = where, where + _SEQUENCE
    while start > 0 and left > 0 and text[start - 1] == form[left - 1]:
        start, left = start - 1, left - 1
    while end < len(text) and right < len(form) and text[end] == form[right]:
        end, right = end + 1, right + 1
    return start, end


def _replaced(text: str, found: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    done = 0
    for start, end in sorted(found):
        if start > done or not parts:
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]])
