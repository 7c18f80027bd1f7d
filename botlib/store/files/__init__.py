"""Candle files: reading, checks and repairs, the import into a database, the export to Parquet.

What enters are CSV, Parquet, Feather and JSON, gzipped or not, and the zips of a venue's public
dumps; the content decides, not the file name. What leaves are recordings with a report that counts
every repair, or a Parquet dataset. Holes are reported and never filled.
"""

from botlib.store.files.reading import read_recording
from botlib.store.files.report import MAX_BAD_SHARE, Recording, RecordingReport

__all__ = ["MAX_BAD_SHARE", "Recording", "RecordingReport", "read_recording"]
