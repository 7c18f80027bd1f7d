"""Candle frames of one or several timeframes, as strategies read them in research and live.

Closed candles enter, one by one or as a whole frame; frames and indicators of every timeframe
leave, without a candle that had not closed at the moment in question.
"""

from botlib.frames.engine import MultiTimeframeEngine
from botlib.frames.frame import Frames, candle_frame, open_times
from botlib.frames.resampling import resample
from botlib.indicators import COLUMNS

__all__ = ["COLUMNS", "Frames", "MultiTimeframeEngine", "candle_frame", "open_times", "resample"]
