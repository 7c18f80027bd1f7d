"""`import_files`: stores the candles of files, checked and repaired, with a report on each file.

Stored candles win: a file that contradicts them is reported, and its values are used only with
``overwrite``. Candles that a file lacks are not recorded as holes, since only the venue can prove
them absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.clock import SystemClock, iso
from botlib.core.errors import BotlibError, InvalidInput
from botlib.core.model import Candle, CandleSource
from botlib.core.text.cards import Tone, card
from botlib.core.text.formats import count
from botlib.core.text.tables import html_table, text_table
from botlib.store import CandleStorage, Database, database_path
from botlib.venues.registry import DEFAULT_VENUE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from botlib.store.files import Recording, RecordingReport

CHUNK: Final = 5_000
"""Candles stored in one transaction."""

_SHOWN: Final = 3
"""Conflicts named in a report."""

_HEADERS: Final = ("file", "symbol", "timeframe", "rows", "new", "same", "conflicts", "revised")

Progress = Callable[[int, int], None]
"""Receives how many bytes of the files are done, and how many there are."""


@dataclass(slots=True, kw_only=True)
class FileReport:
    """The result for one file. Counts are of candles."""

    path: Path
    symbol: str = ""
    timeframe: str = ""
    sha256: str = ""
    recording: RecordingReport | None = None
    """The findings and repairs; None if the file was refused."""
    inserted: int = 0
    """New in the storage."""
    unchanged: int = 0
    """Stored already with the same values."""
    conflicts: int = 0
    """Stored already with other values, which were left as they are."""
    revised: int = 0
    """Stored already with other values, which were replaced and stored as revisions."""
    conflict_times: tuple[int, ...] = ()
    """Open times of the first few that differ, ms."""
    error: str = ""
    """Why the file was refused, or its rest could not be stored."""

    @property
    def remarks(self) -> list[str]:
        """The remarks about the file: errors, repairs, conflicts."""
        found = [self.error] if self.error else []
        if self.recording is not None:
            found += self.recording.remarks
        if self.conflict_times:
            times = ", ".join(map(iso, self.conflict_times))
            more = self.conflicts + self.revised - len(self.conflict_times)
            done = "left as they are" if self.conflicts else "replaced"
            found.append(
                f"stored candles differ, {done}: {times}{f' and {more} more' if more else ''}"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """The result of `import_files`, file by file."""

    files: tuple[FileReport, ...]

    @property
    def inserted(self) -> int:
        """Candles that are new in the storage."""
        return sum(file.inserted for file in self.files)

    @property
    def conflicts(self) -> int:
        """Candles that contradict stored ones, which were not changed."""
        return sum(file.conflicts for file in self.files)

    @property
    def failed(self) -> list[FileReport]:
        """The files that were refused, or not stored completely."""
        return [file for file in self.files if file.error]

    def __repr__(self) -> str:
        return (
            f"<ImportReport {len(self.files)} files · {count(self.inserted)} candles new · "
            f"{len(self.failed)} failed · {count(self.conflicts)} in conflict>"
        )

    def __str__(self) -> str:
        notes = [f"{name}: {remark}" for name, remark in self._notes()]
        return "\n".join([text_table(_HEADERS, self._rows()), *(["", *notes] if notes else [])])

    def _repr_html_(self) -> str:
        notes = self._notes()
        return card(
            f"{count(self.inserted)} candles imported",
            html_table(_HEADERS, self._rows()),
            html_table(("file", "remark"), notes) if notes else "",
            tone=Tone.BAD if self.failed else Tone.WARN if notes else Tone.GOOD,
        )

    def _rows(self) -> list[list[object]]:
        return [
            [
                file.path.name,
                file.symbol,
                file.timeframe,
                file.recording.read if file.recording else None,
                file.inserted,
                file.unchanged,
                file.conflicts,
                file.revised,
            ]
            for file in self.files
        ]

    def _notes(self) -> list[tuple[str, str]]:
        return [(file.path.name, remark) for file in self.files for remark in file.remarks]


def import_files(
    paths: str | Path | Iterable[str | Path],
    storage: CandleStorage,
    *,
    now: int,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Store the candles of files; a file that is refused does not stop the others.

    A candle that is stored as closed is never overwritten silently: other values are counted as
    conflicts and left out, or with ``overwrite`` stored as a revision, which keeps the old values.
    Importing a file again changes nothing, so an interrupted import can simply be repeated.

    Args:
        paths: candle files as `read_recording` accepts them. ``.CHECKSUM`` files among them are
            used to verify the file of the same name.
        storage: of the venue of the candles.
        now: the time in ms, UTC; candles that have not closed by then are refused.
        overwrite: use the values of the files where they differ.
        progress: called after every file and every few thousand candles.

    Raises:
        InvalidInput: there is no file among the paths.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files = [path for path in map(Path, given) if path.suffix != ".CHECKSUM"]
    if not files:
        raise InvalidInput("No candle file is given to import. Give one path or several.")
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    total, before = sum(sizes), 0
    reports = []
    for path, size in zip(files, sizes, strict=True):

        def advance(share: float, size: int = size, before: int = before) -> None:
            if progress is not None:
                progress(before + int(share * size), total)

        reports.append(_import(path, storage, now, overwrite, advance))
        advance(1.0)
        before += size
    return ImportReport(files=tuple(reports))


def import_into(
    directory: Path,
    paths: Iterable[str | Path],
    *,
    venue: str = DEFAULT_VENUE,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Open the database of a venue in a data directory, and import files into it.

    Args:
        directory: the data directory, as configured.
        paths: as in `import_files`.
        venue: of the candles.
        overwrite: as in `import_files`.
        progress: as in `import_files`.

    Raises:
        StoreLocked: a running bot writes to the database.
        InvalidInput: as in `import_files`.
    """
    paths = list(paths)
    with Database.open(database_path(directory, venue), venue) as database:
        return import_files(
            paths,
            CandleStorage(database),
            now=SystemClock().now(),
            overwrite=overwrite,
            progress=progress,
        )


def _import(
    path: Path,
    storage: CandleStorage,
    now: int,
    overwrite: bool,
    advance: Callable[[float], None],
) -> FileReport:
    from botlib.store.files import read_recording

    report = FileReport(path=path)
    try:
        recording = read_recording(path, now=now)
        report.symbol, report.timeframe = recording.symbol, recording.timeframe
        report.recording, report.sha256 = recording.report, recording.sha256
        for first in range(0, len(recording), CHUNK):
            _store(recording, slice(first, first + CHUNK), storage, now, overwrite, report)
            advance(min(1.0, (first + CHUNK) / len(recording)))
    except BotlibError as error:
        report.error = str(error)
    return report


def _store(
    recording: Recording,
    part: slice,
    storage: CandleStorage,
    now: int,
    overwrite: bool,
    report: FileReport,
) -> None:
    """Compare a part of a file with the stored candles, and store what is allowed."""
    import numpy as np

    times = recording.timestamp[part]
    values = np.column_stack(
        [getattr(recording, name)[part] for name in ("open", "high", "low", "close", "volume")]
    )
    known = storage.frame(recording.symbol, recording.timeframe, int(times[0]), int(times[-1]))
    stored, same = _compared(known, times, values)
    differs = stored & ~same
    report.unchanged += int(same.sum())
    room = _SHOWN - len(report.conflict_times)
    report.conflict_times += tuple(times[differs][:room].tolist())
    if not overwrite:
        report.conflicts += int(differs.sum())
    chosen = ~same if overwrite else ~stored
    written = storage.write(
        [
            Candle(
                symbol=recording.symbol,
                timeframe=recording.timeframe,
                timestamp=timestamp,
                open=row[0],
                high=row[1],
                low=row[2],
                close=row[3],
                volume=row[4],
                closed=True,
                source=CandleSource.IMPORT,
            )
            for timestamp, row in zip(times[chosen].tolist(), values[chosen].tolist(), strict=True)
        ],
        now=now,
    )
    report.inserted += written.closed
    report.revised += written.revised


def _compared(
    known: pd.DataFrame, times: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the candles that are stored, and of those stored with the same values."""
    import numpy as np

    from botlib.frames import open_times

    stored = open_times(known.index)
    if not len(stored):
        nothing = np.zeros(len(times), np.bool_)
        return nothing, nothing
    place = np.minimum(np.searchsorted(stored, times), len(stored) - 1)
    found = stored[place] == times
    return found, found & (known.to_numpy()[place] == values).all(axis=1)
