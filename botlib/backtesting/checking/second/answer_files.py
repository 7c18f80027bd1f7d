"""Files of an object between two processes, its arrays apart from the rest.

What is pickled whole is copied into an object while the GIL is held, tenths of a second for the
signals of many histories. Arrays in a file of their own are mapped instead, and cost nothing.
"""

from __future__ import annotations

import io
import mmap
import pickle
from pathlib import Path
from typing import Any, Final

import numpy as np

from botlib.core.files import open_private, write_private

_ALIGNED: Final = 64
_ARRAYS: Final = ".arrays"


class _Pickler(pickle.Pickler):
    """A pickler that keeps arrays of times apart too, which have no buffer of their own type."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype.kind not in "mM":
            return NotImplemented
        return _viewed, (np.ascontiguousarray(value).view(np.int64), value.dtype)


def _viewed(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return values.view(dtype)


def write_apart(path: Path, value: object) -> None:
    """Write an object to a file, and its arrays to one beside it."""
    arrays: list[pickle.PickleBuffer] = []
    head, spans = io.BytesIO(), []
    _Pickler(head, protocol=5, buffer_callback=arrays.append).dump(value)
    with open_private(path.with_suffix(_ARRAYS), "wb") as file:
        for array in arrays:
            raw, begin = array.raw(), file.tell()
            file.write(raw)
            spans.append((begin, begin + raw.nbytes))
            file.write(bytes(-raw.nbytes % _ALIGNED))
    write_private(path, pickle.dumps((head.getvalue(), spans)))


def read_apart(path: Path) -> object:
    """Return what `write_apart` wrote, from a file that only this user can write.

    Changes of its arrays do not reach the file, which may be removed at once.

    Raises:
        OSError: there is no such file.
        EOFError: it is empty.
        pickle.UnpicklingError: it holds something else.
    """
    head, spans = pickle.loads(path.read_bytes())
    if not spans:
        return pickle.loads(head)
    with path.with_suffix(_ARRAYS).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return pickle.loads(head, buffers=[mapped[begin:end] for begin, end in spans])
