"""Recorded candle files: read, checked, repaired where that is honest, refused where it is not.

Accepted are CSV, Parquet, Feather and JSON, gzipped or not, and the zips of Binance's public dumps;
the content decides, not the file name. Every repair is counted in the report. Holes are reported
and never filled.
"""

from botlib.store.files.reading import read_recording
from botlib.store.files.report import MAX_BAD_SHARE, Recording, RecordingReport

__all__ = ["MAX_BAD_SHARE", "Recording", "RecordingReport", "read_recording"]
