"""I8: the search for secrets in files, as plain text or encoded."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from botlib.invariants.report import Violation

PART: Final = 1 << 20
"""Bytes of a file that are searched at a time."""

SHORTEST: Final = 8
"""Least characters of a secret; a shorter one would be found by chance."""


def find_secrets(places: Iterable[Path], secrets: Iterable[str]) -> Iterator[Violation]:
    """Yield a violation for every secret found in files and below directories.

    A secret is found as plain text, in base64 (at any offset inside a longer text), as hexadecimal
    text and percent-encoded as in a URL. The violation does not repeat the secret.

    Args:
        places: files and directories.
        secrets: texts to search for.

    Raises:
        ValueError: a secret is too short to search for.
    """
    wanted = [_spellings(secret) for secret in secrets]
    for path in sorted({file for place in places for file in _files(place)}):
        texts = {text for spellings in wanted for text in spellings.values()}
        try:
            found = _contained(path, texts)
        except OSError:
            continue
        for number, spellings in enumerate(wanted):
            for name, spelling in spellings.items():
                if spelling in found:
                    yield Violation(
                        invariant="I8",
                        what=f"secret {number + 1}, {name}",
                        bot=f"in the file {path}",
                        venue="known to the owner of the account only",
                    )


def _contained(path: Path, texts: Collection[bytes]) -> set[bytes]:
    """Return those texts that a file contains, of which a part is in memory at a time."""
    found: set[bytes] = set()
    before, kept = b"", max(map(len, texts), default=1) - 1
    with path.open("rb") as file:
        while part := file.read(PART):
            content = before + part
            found.update(text for text in texts if text in content)
            before = content[max(0, len(content) - kept) :]
    return found


def _files(place: Path) -> list[Path]:
    return [one for one in place.rglob("*") if one.is_file()] if place.is_dir() else [place]


def _spellings(secret: str) -> dict[str, bytes]:
    if len(secret) < SHORTEST:
        raise ValueError(
            f"A secret of {len(secret)} characters would be found by chance. "
            f"Accepted: {SHORTEST} or more characters."
        )
    raw = secret.encode()
    spellings = {"as plain text": raw, "in hexadecimal": raw.hex().encode()}
    spellings["percent-encoded"] = quote(secret, safe="").encode()
    for shift in range(3):
        # The text before it shifts it by up to two bytes, and its first and last base64 characters
        # also encode bits of its neighbours.
        text = base64.b64encode(b"\0" * shift + raw)
        first = -(-shift * 8 // 6)
        spellings[f"in base64 ({shift})"] = text[first : (shift + len(raw)) * 8 // 6]
    return spellings
