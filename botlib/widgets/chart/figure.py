"""`Chart`: candles, volume and indicators, live in a page or as a static picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botlib.core.errors import InvalidInput, WidgetError
from botlib.core.files import write_private
from botlib.core.text.formats import count
from botlib.core.text.masking import masked
from botlib.core.text.tables import html_picture
from botlib.widgets.chart.clicks import Clicks, OnClick, Run
from botlib.widgets.chart.link import Link
from botlib.widgets.chart.marks import Line, Marker, Marks
from botlib.widgets.chart.rows import ChartRows
from botlib.widgets.chart.scene import MAIN, ChartInfo, Scene
from botlib.widgets.chart.screenshots import Screenshots
from botlib.widgets.chart.source import CandleHistory, HistorySource
from botlib.widgets.chart.throttle import Throttle
from botlib.widgets.chart.timeframes import TimeframeChoice
from botlib.widgets.display import Output, mode
from botlib.widgets.pictures import NO_TEXT, Pictures

if TYPE_CHECKING:
    from botlib.core.model import Candle
    from botlib.indicators import Indicator

PICTURE_CANDLES: Final = 200

PACE: Final = 0.06
"""Least seconds between two messages to the page; the eye would not see more of them."""

_HEIGHTS: Final = (120, 4_000)


C = TypeVar("C", bound=OnClick)


class Chart:
    """A candle chart, displayed if it is the last expression of a cell, in any number of cells.

    Returned by `botlib.chart`, ``bot.chart`` and ``result.chart``. Every method may be called from
    any thread.

    Args:
        height: of the chart, in pixels.
        window: candles that a page receives first; older ones follow when it scrolls to them.
        source: of candles before those in ``rows``; None if there are none.
        run: starts the coroutine of an async callback; None if there is no loop.
    """

    def __init__(
        self,
        facts: ChartInfo,
        rows: ChartRows,
        *,
        height: int = 520,
        window: int = 2_000,
        source: HistorySource | None = None,
        run: Run | None = None,
    ) -> None:
        _check_number("height", height, *_HEIGHTS)
        _check_number("window", window, 10, 1_000_000)
        self.height = height
        self._scene = Scene(facts, rows, window)
        self._choice: TimeframeChoice | None = None
        self._lock = threading.RLock()
        self._pictures = Pictures(self._picture)
        self._link = Link(self._scene, self._lock, self, still=self._pictures.still)
        self._source = source
        self._views: list[Output] = []
        self._outdated = False
        self._clicks = Clicks(run, self.say)
        self._screenshots = Screenshots(self.say)
        self._throttle = Throttle(self.flush, PACE)
        self._pending: int | None = None
        self._taken = 0.0
        """When the oldest candle that is not shown yet arrived, s since 1970."""
        self._corrected = False
        self._marks_changed = False
        self._note = ""
        self._closed = False

    # Properties

    @property
    def symbol(self) -> str:
        """The market; empty if it was drawn from a frame without one."""
        return self._scene.facts.symbol

    @property
    def timeframe(self) -> str:
        """The timeframe of its candles."""
        return self._scene.facts.timeframe

    @property
    def indicators(self) -> tuple[str, ...]:
        """The indicators it shows, in the order in which they were added."""
        with self._lock:
            return tuple(study.name for study in self._scene.rows.studies)

    @property
    def marks(self) -> Marks:
        """Its markers, price lines and shades."""
        return self._scene.marks

    @property
    def closed(self) -> bool:
        """Whether it was closed, so that it ignores further candles."""
        return self._closed

    @property
    def watched(self) -> bool:
        """Whether a page may show it, or a notebook has a picture that is kept up to date."""
        return self._link.watched or self._pictures.alone

    @property
    def depth(self) -> int:
        """Number of candles that it needs for its window, warm-up included."""
        with self._lock:
            return self._scene.window + self._scene.rows.warmup + 1

    @property
    def model(self) -> Any:
        """The widget model of its views; None before the first live one."""
        return self._link.model

    @property
    def seq(self) -> int:
        """Number of the last update that was sent."""
        return self._link.seq

    def __len__(self) -> int:
        return len(self._scene.rows)

    def __repr__(self) -> str:
        name = self._scene.facts.title or f"{self.symbol} {self.timeframe}".strip()
        parts = [f"{name} · {count(len(self))} candles"]
        if self.indicators:
            parts.append(", ".join(self.indicators))
        if self._note or self._closed:
            parts.append(self._note or "closed")
        return masked(f"<Chart {' · '.join(parts)}>")

    # Contents

    def add(self, spec: str | Indicator, *, pane: bool | None = None) -> None:
        """Add an indicator, such as ``"rsi(14)"``; one that is shown already is moved.

        Args:
            pane: True draws it in a pane of its own, False over the candles; None draws it over
                the candles if its values are prices.

        Raises:
            InvalidInput: there is no such indicator, or it cannot be kept up to date.
        """
        with self._lock:
            self._check_open()
            group = None if pane is None else self._scene.new_group() if pane else MAIN
            self._scene.add(spec, group=group)
            self._redrawn()
        self._widen()

    def add_pane(self, specs: Sequence[str]) -> None:
        """Add indicators together in one pane below.

        Raises:
            InvalidInput: as `add`.
        """
        with self._lock:
            self._check_open()
            group = self._scene.new_group()
            for spec in specs:
                self._scene.add(spec, group=group)
            self._redrawn()
        self._widen()

    def remove(self, spec: str | Indicator) -> None:
        """Remove an indicator.

        Raises:
            InvalidInput: it is not shown.
        """
        with self._lock:
            self._check_open()
            self._scene.remove(spec)
            self._redrawn()

    def mark(
        self, *, markers: Sequence[Marker] | None = None, lines: Sequence[Line] | None = None
    ) -> None:
        """Replace the markers or the price lines; None keeps them. The next `flush` shows them."""
        with self._lock:
            now = self._scene.marks
            self._scene.marks = Marks(
                now.markers if markers is None else tuple(markers),
                now.lines if lines is None else tuple(lines),
                now.shades,
            )
            if self._scene.marks != now:
                self._marks_changed = self._outdated = True

    def repaired(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Shade ranges that were fetched later, to fill a gap: first and last open times, ms."""
        with self._lock:
            self._scene.repaired += tuple(one for one in ranges if one not in self._scene.repaired)
            self._marks_changed = self._outdated = True

    def say(self, text: str) -> None:
        """Show a short text over the chart; an empty one removes it."""
        self._note = masked(text)
        self._link.say(self._note)

    # Timeframes

    def offer(self, choice: TimeframeChoice) -> None:
        """Offer timeframes to the readers, before the chart is shown."""
        with self._lock:
            self._choice = choice
            self._scene.facts = replace(self._scene.facts, timeframes=choice.offered)

    def show_timeframe(
        self, timeframe: str, history: CandleHistory, source: HistorySource | None = None
    ) -> None:
        """Replace the candles by those of another timeframe; indicators and marks stay.

        Args:
            source: of candles before those of the history; None if there are none.
        """
        with self._lock:
            self._check_open()
            rows = ChartRows(timeframe)
            rows.load(history.frame, whole=history.whole)
            self._scene.show_timeframe(timeframe, rows)
            self._source = source
            self.repaired(history.repaired)
            self._redrawn()
            self._link.marks()
        self._widen()

    # Candles

    def take(self, candle: Candle) -> bool:
        """Add a candle, closed or forming; return whether it is new. `flush` shows it."""
        with self._lock:
            if self._closed:
                return False
            if self._choice is not None:
                candle = self._choice.drawn(candle)
            values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            rows, last = self._scene.rows, self._scene.rows.last
            take = rows.close if candle.closed else rows.form
            if not take(candle.timestamp, values):
                return False
            self._outdated = True
            self._taken = self._taken or time.time()
            if last is not None and candle.timestamp - last > rows.step:
                self._marks_changed = True  # candles are missing before it
            if candle.closed and last is not None and candle.timestamp <= last:
                self._corrected = True
            elif self._pending is None or candle.timestamp < self._pending:
                self._pending = candle.timestamp
            return True

    def flush(self) -> None:
        """Show the candles added since the last call; almost free if the chart is not shown."""
        with self._lock:
            if self._link.watched:
                self._flush_page()
            if self._outdated and self._pictures.due:
                self._redraw()

    def reload(self, history: CandleHistory) -> None:
        """Replace all candles, after some may have been missed."""
        with self._lock:
            self._scene.rows.load(history.frame, whole=history.whole)
            self.repaired(history.repaired)
            self._corrected = self._outdated = True
            self.flush()

    def update(self, candle: Candle) -> None:
        """Add a candle and show it, together with others that arrive within 60 ms."""
        if not self.take(candle):
            return
        if self._link.watched:
            self._throttle.request()
        else:
            self.flush()

    # Page and picture

    def on_click(self, callback: C) -> C:
        """Call ``callback(click)`` at every click on the chart.

        It runs between cells, on the kernel's main thread; an async one runs on the bot's thread.
        An error in it is logged and shown over the chart.

        Raises:
            InvalidInput: it cannot be called, or is async and no bot runs.
        """
        self._clicks.add(callback)
        return callback

    def svg(self, last: int = PICTURE_CANDLES) -> str:
        """Return a picture of the newest candles as SVG.

        Args:
            last: number of candles.
        """
        _check_number("last", last, 1, 5_000)
        with self._lock:
            picture = self._scene.picture(last, self._note)
        return masked(picture.draw(self.height))

    def screenshot(self, path: str | Path) -> Path:
        """Write a picture of the chart and return its path.

        ``.svg`` is drawn and written at once. ``.png`` is a screenshot of a page, which answers
        between cells, so that the file exists once the cell has ended.

        Raises:
            WidgetError: no page shows the chart, so that there can be no PNG.
            InvalidInput: it is neither ``.png`` nor ``.svg``.
        """
        target = Path(path).expanduser()
        kind = target.suffix.lower()
        if kind == ".svg":
            return write_private(target, self.svg())
        if kind != ".png":
            raise InvalidInput(
                f"Cannot write a picture as {target.name!r}. Accepted: a name ending in .png "
                "(what the page shows) or .svg (drawn without a page)."
            )
        if not self._link.watched:
            raise WidgetError(
                f"No page shows this chart, so there is no {target.name}. Show it in a notebook "
                f"first, or draw it without a page: chart.screenshot('{target.stem}.svg')."
            )
        self._link.request_screenshot(self._screenshots.expect(target))
        return target

    def finish(self, text: str) -> None:
        """Show the final state and a text; indicators can still be changed."""
        with self._lock:
            self.say(text)
            if self._link.watched:
                self._flush_page()
            self._redraw()
            if self._views:
                bundle = {**self._link.replace_views(self.height), **NO_TEXT}
                for output in self._views:
                    output.update(bundle)

    def close(self) -> None:
        """End the views; the pictures beside them show the last state."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._link.close()
            self._views.clear()
            self._redraw()

    def _ipython_display_(self) -> None:
        live = mode() == "live" and not self._closed
        with self._lock:
            picture = self._pictures.show(beside=live)
            self._outdated = False
            if live:
                output = Output()
                self._views.append(output)
                bundle = {**self._link.show(self.height), **NO_TEXT}
        # On the thread of the cell, so that they appear in its output.
        if live:
            output.show(bundle)
        picture()

    # Updates, with the lock held

    def _flush_page(self) -> None:
        if self._corrected:
            self._link.history()
        elif self._pending is not None:
            self._link.update(self._pending, self._taken)
        self._pending, self._corrected, self._taken = None, False, 0.0
        if self._marks_changed:
            self._marks_changed = False
            self._link.marks()

    def _redraw(self) -> None:
        """Redraw the pictures."""
        self._outdated = False
        self._pictures.update()

    def _redrawn(self) -> None:
        """Show the changed series."""
        self._pending, self._corrected, self._taken = None, False, 0.0
        self._link.series()
        self._redraw()

    def _picture(self) -> tuple[str, str]:
        text = repr(self)
        return html_picture(self.svg(), text), text

    def _check_open(self) -> None:
        if self._closed:
            raise WidgetError(f"{self!r} was closed. Make a new one with the same call.")

    # Older candles

    def _widen(self) -> None:
        """Fetch the candles that an indicator needs before the window, if they are missing."""
        with self._lock:
            rows = self._scene.rows
            lacking = rows.missing_before(self._scene.window)
            if self._source is None or rows.first is None or not lacking:
                return
            before = rows.first
        self._source.older(before, lacking, self._widened)

    def _widened(self, history: CandleHistory) -> None:
        with self._lock:
            self._prepend(history)
            self._link.history()
            self._link.marks()
            self._redraw()

    def _prepend(self, history: CandleHistory) -> None:
        self._scene.rows.prepend(history.frame, whole=history.whole)
        if history.repaired:
            self.repaired(history.repaired)

    def _answer_older(self, before: int, want: int) -> None:
        end = self._scene.rows.count_before(before)
        start = max(0, end - want)
        self._link.older(before, start, end)
        if end > start:
            oldest = int(self._scene.rows.times[start])
            known = self._scene.shown_from
            self._scene.shown_from = oldest if known is None else min(known, oldest)
            self._link.marks()

    # Reports of a page

    def page_opened(self) -> None:
        """Send the pending update to a page that opened, and request awaited screenshots again."""
        self.flush()
        for number in self._screenshots.awaited():
            self._link.request_screenshot(number)

    def older_requested(self, before: int, want: int) -> None:
        """Send older candles to a page that scrolled to its oldest one.

        Args:
            before: its open time, ms.
            want: most candles to send.
        """
        with self._lock:
            rows = self._scene.rows
            first = rows.first
            if rows.count_before(before) or self._source is None or rows.whole or first is None:
                self._answer_older(before, want)
                return

        def done(history: CandleHistory) -> None:
            with self._lock:
                self._prepend(history)
                self._answer_older(before, want)

        self._source.older(first, want, done)

    def timeframe_chosen(self, timeframe: str) -> None:
        """Show another timeframe, if it is one that is offered."""
        if self._choice is not None and timeframe in self._choice.offered:
            self._choice.choose(timeframe)

    def clicked(self, message: dict[str, Any]) -> None:
        """Call the callbacks with a click."""
        self._clicks.dispatch(message)

    def screenshot_received(self, message: dict[str, Any], image: bytes | None) -> None:
        """Write the screenshot of a page."""
        self._screenshots.save(message, image)


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
