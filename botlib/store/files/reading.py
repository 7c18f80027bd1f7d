"""`read_recording`: reads a candle file into a checked recording."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from botlib.core.errors import RecordingError
from botlib.core.files import read_regular
from botlib.core.text import formats
from botlib.store.files.cleaning import clean
from botlib.store.files.identity import identify
from botlib.store.files.report import ACCEPTED, VALUES, Recording
from botlib.store.files.rows import read_rows

LARGEST: Final = 512 * 2**20
"""Most bytes of a candle file, packed or unpacked: a month of seconds has 400 MB."""

_CHUNK: Final = 2**20


def read_recording(path: str | Path, *, now: int | None = None) -> Recording:
    """Read a candle file, repair what can be repaired without guessing, and report it.

    A ``.CHECKSUM`` file beside it, as a venue publishes one with every dump, is verified.

    Args:
        path: the file.
        now: the time in ms, UTC. With it only candles that are certainly final are kept: not the
            one that forms now or formed when the file was last written, none of the future, and
            no last line whose end is missing.

    Raises:
        RecordingError: the file is missing, corrupt, not of candles, or more than
            `MAX_BAD_SHARE` of its rows cannot be used.
    """
    path = Path(path)
    try:
        content = read_regular(path, LARGEST)
        written = path.stat().st_mtime_ns // 1_000_000
    except OSError as error:
        raise RecordingError(
            f"Cannot read the candle file {str(path)!r}: {error.strerror or error}. {ACCEPTED}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    _verify_checksum(path, digest)
    name, raw = _unpack(path, content)
    rows = read_rows(path, raw, whole_lines=now is not None)
    symbol, timeframe, belongs = identify(path, name, rows)
    times, values, report = clean(path, timeframe, rows, belongs, now=now, written=written)
    return Recording(
        symbol=symbol,
        timeframe=timeframe,
        timestamp=times,
        **dict(zip(VALUES, values, strict=True)),
        report=replace(report, cut=rows.cut),
        sha256=digest,
    )


def _verify_checksum(path: Path, digest: str) -> None:
    beside = path.with_name(path.name + ".CHECKSUM")
    try:
        named = read_regular(beside, _CHUNK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordingError(f"Cannot read {str(beside)!r}: {error.strerror}.") from error
    expected = named.decode(errors="replace").lower().split()[:1]
    if expected != [digest]:
        raise RecordingError(
            f"{str(path)!r} does not match {beside.name}: its SHA-256 is {digest}, "
            f"expected {expected[0] if expected else 'nothing'}. Download both files again."
        )


def _unpack(path: Path, content: bytes) -> tuple[str, bytes]:
    """Return the name and content of the file itself, of the gzip or of the zip's member."""
    try:
        if content[:2] == b"\x1f\x8b":
            name, raw = path.name, _gunzipped(path, content)
        elif content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
                if len(members) != 1:
                    raise RecordingError(
                        f"{str(path)!r} holds {len(members)} files; a candle zip holds one. "
                        "Unpack it and give the file itself."
                    )
                with archive.open(members[0]) as member:
                    name, raw = members[0].filename, _bounded(path, member)
        else:
            name, raw = path.name, content
    except RecordingError:
        raise
    except Exception as error:
        # The modules raise errors of many kinds for damaged, encrypted and unknown ones.
        raise RecordingError(
            f"{str(path)!r} is damaged or cut short and cannot be unpacked: {error}. "
            "Fetch it again."
        ) from error
    if not raw.strip():
        raise RecordingError(f"{str(path)!r} is empty. {ACCEPTED}")
    return name, raw


def _gunzipped(path: Path, content: bytes) -> bytes:
    import gzip

    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        return _bounded(path, packed)


def _bounded(path: Path, packed: IO[bytes] | Any) -> bytes:
    """Return what is packed in a file.

    Raises:
        RecordingError: it is too much: a few megabytes can hold any number of bytes.
    """
    unpacked = bytearray()
    while chunk := packed.read(_CHUNK):
        unpacked += chunk
        if len(unpacked) > LARGEST:
            raise RecordingError(
                f"{str(path)!r} holds more than {formats.count(LARGEST)} bytes when it is "
                f"unpacked. {ACCEPTED}"
            )
    return bytes(unpacked)
