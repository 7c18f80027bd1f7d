"""Closed candles come out completely, in order and once each, despite any fault of the frames."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from botlib.core.model import Candle, CandleSource
from botlib.market_data.sequencer import MAX_PENDING, Sequencer

MINUTE = 60_000
START = 27_000_000 * MINUTE


def candle(
    number: int, *, closed: bool = True, source: CandleSource = CandleSource.STREAM
) -> Candle:
    price = 100.0 + number
    return Candle(
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=START + number * MINUTE,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=1.0,
        closed=closed,
        source=source,
    )


@dataclass
class Player:
    """A sequencer, and a venue that has the true candles."""

    truth: list[int]

    def __post_init__(self) -> None:
        self.sequencer = Sequencer("1m")
        self.out: list[int] = []
        self.holes: set[int] = set()

    def frame(self, number: int, closed: bool) -> None:
        timestamp = START + number * MINUTE
        if closed:
            if not self.sequencer.knows(timestamp):
                self.take(self.sequencer.closed(candle(number)))
        else:
            self.sequencer.opened(timestamp)
        while (gap := self.sequencer.gap()) is not None:
            self.ask(*gap)

    def ask(self, first: int, last: int) -> None:
        rows = [
            candle(number, source=CandleSource.REST)
            for number in self.truth
            if first <= START + number * MINUTE <= last
        ]
        settled = self.sequencer.settle(rows, last)
        for start, end in settled.holes:
            hole = range((start - START) // MINUTE, (end - START) // MINUTE + 1)
            assert not self.holes.intersection(hole)
            self.holes.update(hole)
        self.take(settled.candles)

    def take(self, candles: list[Candle]) -> None:
        self.out += [(entry.timestamp - START) // MINUTE for entry in candles]


@st.composite
def damaged_streams(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, bool]]]:
    """Return the candles of the venue, and those of their frames that arrive."""
    length = draw(st.integers(2, 40))
    missing = draw(st.sets(st.integers(0, length - 1), max_size=length // 2))
    truth = [number for number in range(length) if number not in missing]
    perfect = [frame for number in truth for frame in [(number, False)] * 2 + [(number, True)]]
    chance = random.Random(draw(st.integers(0, 2**32)))
    drop, double = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.5))
    reach = draw(st.integers(0, 12))
    frames: list[tuple[float, tuple[int, bool]]] = []
    for place, frame in enumerate(perfect):
        if chance.random() < drop:
            continue
        for _ in range(2 if chance.random() < double else 1):
            frames.append((place + chance.random() * reach, frame))
    return truth, [frame for _, frame in sorted(frames, key=lambda entry: entry[0])]


@given(damaged_streams(), st.integers(-1, 5))
def test_any_drops_duplicates_and_reorderings_end_with_the_true_candles_in_order(
    stream: tuple[list[int], list[tuple[int, bool]]], begun: int
) -> None:
    truth, frames = stream
    player = Player(truth)
    half = len(frames) // 3
    for frame in frames[:half]:
        player.frame(*frame)
    assert player.out == []  # nothing comes out before the start
    player.take(player.sequencer.start(START + begun * MINUTE))
    for frame in frames[half:]:
        player.frame(*frame)
    # In the end the venue is asked for what the last frames may have shown.
    last = player.sequencer.last
    end = START + (max(truth, default=0)) * MINUTE
    if last is not None and end > last:
        player.ask(last + MINUTE, end)
    assert player.out == [number for number in truth if number > begun]
    assert player.holes == {
        number for number in range(begun + 1, max(truth, default=0) + 1) if number not in truth
    }


def test_a_closed_candle_in_order_comes_out_at_once() -> None:
    player = Player([0, 1, 2])
    player.sequencer.start(START - MINUTE)
    player.frame(0, True)
    assert player.out == [0]
    player.frame(0, True)
    assert player.out == [0]


def test_a_newer_candle_reveals_the_close_that_never_came() -> None:
    sequencer = Sequencer("1m")
    sequencer.start(START - MINUTE)
    assert sequencer.opened(START)
    assert sequencer.gap() is None
    assert sequencer.opened(START + MINUTE)
    assert sequencer.gap() == (START, START)
    settled = sequencer.settle([candle(0, source=CandleSource.REST)], START)
    assert [entry.timestamp for entry in settled.candles] == [START]
    assert settled.holes == []
    assert sequencer.caught_up()


def test_a_late_update_of_a_closed_candle_is_refused() -> None:
    sequencer = Sequencer("1m")
    sequencer.start(START - MINUTE)
    sequencer.opened(START)
    sequencer.closed(candle(0))
    assert not sequencer.opened(START)
    assert sequencer.opened(START + MINUTE)
    assert not sequencer.opened(START)


def test_an_answer_that_proves_nothing_changes_nothing() -> None:
    sequencer = Sequencer("1m")
    sequencer.start(START - MINUTE)
    sequencer.opened(START + 5 * MINUTE)
    settled = sequencer.settle([candle(0)], START - MINUTE)
    assert (settled.candles, settled.holes) == ([], [])
    assert sequencer.gap() == (START, START + 4 * MINUTE)


def test_a_candle_from_the_stream_is_kept_although_the_answer_lacks_it() -> None:
    sequencer = Sequencer("1m")
    sequencer.start(START - MINUTE)
    sequencer.closed(candle(2))
    settled = sequencer.settle([candle(0)], START + 3 * MINUTE)
    assert [entry.timestamp for entry in settled.candles] == [START, START + 2 * MINUTE]
    assert settled.holes == [(START + MINUTE,) * 2, (START + 3 * MINUTE,) * 2]


def test_candles_behind_a_gap_are_bounded_and_found_again() -> None:
    truth = list(range(MAX_PENDING + 12))
    player = Player(truth)
    sequencer = player.sequencer
    sequencer.start(START - MINUTE)
    # The first close never comes, and the venue does not answer for a long time.
    for number in truth[1:]:
        assert sequencer.closed(candle(number)) == []
    player.frame(truth[-1] + 1, False)
    assert player.out == truth


def test_weeks_follow_each_other_from_monday_to_monday() -> None:
    monday = 4 * 86_400_000
    sequencer = Sequencer("1w")
    sequencer.start(monday)
    sequencer.opened(monday + 3 * sequencer.length)
    assert sequencer.gap() == (monday + sequencer.length, monday + 2 * sequencer.length)
