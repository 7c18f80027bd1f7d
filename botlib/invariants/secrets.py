"""I8: secrets in files, as they are or as others spell them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from botlib.invariants.report import Violation

SHORTEST: Final = 8
"""Characters a secret needs, so that it is not found by chance."""


def find_secrets(places: Iterable[Path], secrets: Iterable[str]) -> Iterator[Violation]:
    """Look for secrets in files and in everything below directories.

    A secret is found as it is, in base64 (at any place inside a longer text), as hexadecimal text
    and as an address spells it. The secret itself is never repeated.

    Raises:
        ValueError: a secret is too short to look for.
    """
    wanted = [_spellings(secret) for secret in secrets]
    for path in sorted({file for place in places for file in _files(place)}):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        for number, spellings in enumerate(wanted):
            for name, spelling in spellings.items():
                if re.search(re.escape(spelling), content) is not None:
                    yield Violation(
                        invariant="I8",
                        what=f"secret {number + 1}, {name}",
                        kit=f"stands in {path}",
                        venue="known to the account's owner alone",
                    )


def _files(place: Path) -> list[Path]:
    return [one for one in place.rglob("*") if one.is_file()] if place.is_dir() else [place]


def _spellings(secret: str) -> dict[str, bytes]:
    if len(secret) < SHORTEST:
        raise ValueError(f"A secret of {len(secret)} characters is found anywhere by chance.")
    raw = secret.encode()
    spellings = {"as it is": raw, "in hexadecimal": raw.hex().encode()}
    spellings["as in an address"] = quote(secret, safe="").encode()
    for shift in range(3):
        # What stands before it in the encoded text moves it by so many bytes; the first and the
        # last characters mix with its neighbours.
        text = base64.b64encode(b"\0" * shift + raw)
        first = -(-shift * 8 // 6)
        spellings[f"in base64 ({shift})"] = text[first : (shift + len(raw)) * 8 // 6]
    return spellings
