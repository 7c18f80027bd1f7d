"""The marks of signals on charts of several timeframes."""

from __future__ import annotations

from botlib.core.model import Signal, SignalAction
from botlib.core.timeframe import MINUTE
from botlib.views.chart_marks import signal_markers
from tests.support.samples import NEW_YEAR


def signal(strategy: str, action: SignalAction) -> Signal:
    return Signal(
        strategy=strategy,
        symbol="BTC/USDT",
        timeframe="1h",
        timestamp=NEW_YEAR,
        action=action,
        price=1.0,
    )


def test_a_signal_is_marked_when_it_was_decided() -> None:
    (marker,) = signal_markers([signal("one", SignalAction.ENTRY)])
    assert (marker.kind, marker.text) == ("entry signal", "entry")
    # Its candle closed at 01:00, so that 00:59 was the newest minute.
    assert marker.wire("1m")["time"] == (NEW_YEAR + 59 * MINUTE) / 1_000
    assert marker.wire("1h")["time"] == NEW_YEAR / 1_000
    assert marker.wire("4h")["time"] == NEW_YEAR / 1_000


def test_several_strategies_are_named() -> None:
    both = [signal("one", SignalAction.ENTRY), signal("two", SignalAction.EXIT)]
    assert [marker.text for marker in signal_markers(both)] == ["one: entry", "two: exit"]
    assert [marker.kind for marker in signal_markers(both)] == ["entry signal", "exit signal"]
