"""Candle frames as strategies see them, one timeframe or several, in research and live."""

from botlib.frames.engine import MultiTimeframeEngine
from botlib.frames.frame import Frames, candle_frame, open_times
from botlib.frames.resampling import resample
from botlib.indicators import COLUMNS

__all__ = ["COLUMNS", "Frames", "MultiTimeframeEngine", "candle_frame", "open_times", "resample"]
