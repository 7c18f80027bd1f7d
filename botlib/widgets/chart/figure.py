"""`Chart`: candles, volume and indicators, live in a page or as a picture in a notebook."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botlib.core.errors import InvalidInput, WidgetError
from botlib.core.tables import html_picture
from botlib.widgets.chart.clicks import Clicks, OnClick, Run
from botlib.widgets.chart.link import Link
from botlib.widgets.chart.marks import Line, Marker, Marks
from botlib.widgets.chart.rows import ChartRows
from botlib.widgets.chart.scene import MAIN, ChartInfo, Scene
from botlib.widgets.chart.screenshots import Screenshots
from botlib.widgets.chart.source import CandleHistory, HistorySource
from botlib.widgets.chart.throttle import Throttle
from botlib.widgets.display import Output, mode

if TYPE_CHECKING:
    from botlib.core.model import Candle
    from botlib.indicators import Indicator

PICTURE_EVERY: Final = 5.0
"""Seconds between two pictures of a chart in a headless notebook."""

PICTURE_CANDLES: Final = 200

PACE: Final = 0.06
"""Least seconds between two messages to the page. More would cost it more than an eye can see."""

_HEIGHTS: Final = (120, 4_000)


C = TypeVar("C", bound=OnClick)


class Chart:
    """A candle chart; show it by leaving it last in a cell, in as many cells as you like.

    Made by `botlib.chart`, ``bot.chart`` and ``result.chart``. Every method may be called from any
    thread.

    Args:
        height: of the whole, in pixels.
        window: candles that a page gets first; older ones come when it scrolls to them.
        source: gives older candles than those in ``rows``; None where there are none.
        run: runs the coroutine of an async callback; None where no loop is at hand.
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
        self._lock = threading.RLock()
        self._link = Link(self._scene, self._lock, self)
        self._source = source
        self._views: list[Output] = []
        self._pictures: list[Output] = []
        self._pictured = 0.0
        self._outdated = False
        self._clicks = Clicks(run, self.say)
        self._screenshots = Screenshots(self.say)
        self._throttle = Throttle(self.flush, PACE)
        self._pending: int | None = None
        self._taken = 0.0
        """When the oldest of what is not shown yet was taken, s since 1970."""
        self._corrected = False
        self._marks_changed = False
        self._note = ""
        self._closed = False

    # What is known of it

    @property
    def symbol(self) -> str:
        """The market, empty where a frame names none."""
        return self._scene.facts.symbol

    @property
    def timeframe(self) -> str:
        """The timeframe of its candles."""
        return self._scene.facts.timeframe

    @property
    def indicators(self) -> tuple[str, ...]:
        """The indicators it shows, in the order they were added."""
        with self._lock:
            return tuple(study.name for study in self._scene.rows.studies)

    @property
    def marks(self) -> Marks:
        """The markers, price lines and shades it was given."""
        return self._scene.marks

    @property
    def closed(self) -> bool:
        """Whether it was closed, and takes nothing any more."""
        return self._closed

    @property
    def watched(self) -> bool:
        """Whether a page may show it, or a notebook holds a picture that is kept up to date."""
        return self._link.watched or bool(self._pictures)

    @property
    def depth(self) -> int:
        """How many candles it needs for its window, those before it included."""
        with self._lock:
            return self._scene.window + self._scene.rows.warmup + 1

    @property
    def model(self) -> Any:
        """The widget that its views share; None before the first live one."""
        return self._link.model

    @property
    def seq(self) -> int:
        """Number of the last update that was sent."""
        return self._link.seq

    def __len__(self) -> int:
        return len(self._scene.rows)

    def __repr__(self) -> str:
        name = self._scene.facts.title or f"{self.symbol} {self.timeframe}".strip()
        parts = [f"{name} · {len(self):,} candles"]
        if self.indicators:
            parts.append(", ".join(self.indicators))
        if self._note or self._closed:
            parts.append(self._note or "closed")
        return f"<Chart {' · '.join(parts)}>"

    # What it shows

    def add(self, spec: str | Indicator, *, pane: bool | None = None) -> None:
        """Show an indicator, such as ``"rsi(14)"``; one that is shown already is moved.

        Args:
            pane: True draws it in a pane of its own, False over the candles; None decides by
                whether its values are prices.

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
        """Show indicators together in one pane below.

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
        """Take an indicator away.

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
        """Replace the markers or the price lines; None leaves them. Shown with the next `flush`."""
        with self._lock:
            now = self._scene.marks
            self._scene.marks = Marks(
                now.markers if markers is None else tuple(markers),
                now.lines if lines is None else tuple(lines),
                now.shades,
            )
            if self._scene.marks != now:
                self._marks_changed = self._outdated = True

    def repaired(self, stretches: Sequence[tuple[int, int]]) -> None:
        """Shade stretches that were fetched after the fact: first and last open times, ms."""
        with self._lock:
            self._scene.repaired += tuple(
                one for one in stretches if one not in self._scene.repaired
            )
            self._marks_changed = self._outdated = True

    def say(self, text: str) -> None:
        """Show a short text over the chart; an empty one takes it away."""
        self._note = text
        self._link.say(text)

    # Candles

    def take(self, candle: Candle) -> bool:
        """Take a candle, closed or forming; return whether it is news. `flush` shows it."""
        values = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        with self._lock:
            if self._closed:
                return False
            rows, last = self._scene.rows, self._scene.rows.last
            take = rows.close if candle.closed else rows.form
            if not take(candle.timestamp, values):
                return False
            self._outdated = True
            self._taken = self._taken or time.time()
            if last is not None and candle.timestamp - last > rows.step:
                self._marks_changed = True  # something is missing before it
            if candle.closed and last is not None and candle.timestamp <= last:
                self._corrected = True
            elif self._pending is None or candle.timestamp < self._pending:
                self._pending = candle.timestamp
            return True

    def flush(self) -> None:
        """Show what was taken since the last time; costs next to nothing where nobody looks."""
        with self._lock:
            if self._link.watched:
                self._flush_page()
            if self._pictures and self._outdated and self._picture_due():
                self._redraw()

    def reload(self, stretch: CandleHistory) -> None:
        """Take candles in place of all there are, where some may have been missed."""
        with self._lock:
            self._scene.rows.load(stretch.frame, whole=stretch.whole)
            self.repaired(stretch.repaired)
            self._corrected = self._outdated = True
            self.flush()

    def update(self, candle: Candle) -> None:
        """Take a candle and show it, together with others that come within 60 ms."""
        if not self.take(candle):
            return
        if self._link.watched:
            self._throttle.ask()
        else:
            self.flush()

    # The page and the picture

    def on_click(self, callback: C) -> C:
        """Call ``callback(click)`` when somebody clicks on the chart.

        It runs between cells, in the kernel's main thread; an async one runs on the bot's thread.
        An error in it is logged and shown over the chart.

        Raises:
            InvalidInput: it cannot be called, or is async where no bot runs.
        """
        self._clicks.add(callback)
        return callback

    def svg(self, last: int = PICTURE_CANDLES) -> str:
        """Return a picture of the newest candles as SVG.

        Args:
            last: how many.
        """
        _check_number("last", last, 1, 5_000)
        with self._lock:
            picture = self._scene.picture(last, self._note)
        return picture.draw(self.height)

    def screenshot(self, path: str | Path) -> Path:
        """Write a picture of the chart and return where it will be.

        ``.svg`` is drawn here and now. ``.png`` is what a page shows: the page is asked for it, and
        answers between cells, so the file is there once the cell has ended.

        Raises:
            WidgetError: no page shows the chart, so that there is nothing to take a PNG of.
            InvalidInput: it is neither ``.png`` nor ``.svg``.
        """
        target = Path(path).expanduser()
        kind = target.suffix.lower()
        if kind == ".svg":
            target.write_text(self.svg(), encoding="utf-8")
            return target
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
        self._link.shoot(self._screenshots.expect(target))
        return target

    def finish(self, text: str) -> None:
        """Show the last state there will be, and say why; indicators can still be changed."""
        with self._lock:
            self.say(text)
            if self._link.watched:
                self._flush_page()
            self._redraw()
            if self._views:
                # The notebook keeps what an output was last shown as: its picture, too.
                bundle = {**self._link.leave(self.height), **self._bundle()}
                for output in self._views:
                    output.update(bundle)

    def close(self) -> None:
        """End the views; where it was shown a picture of its last state stays."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._link.close()
            self._pictures += self._views
            self._views.clear()
            self._redraw()

    def _ipython_display_(self) -> None:
        live = mode() == "live" and not self._closed
        output = Output()
        with self._lock:
            bundle = self._bundle()
            if live:
                bundle = {**self._link.show(self.height), **bundle}
            (self._views if live else self._pictures).append(output)
            self._pictured = time.monotonic()
            self._outdated = False
        # In the thread of the cell, so that it appears there.
        output.show(bundle)

    # How it is brought up to date, with the lock held

    def _flush_page(self) -> None:
        if self._corrected:
            self._link.history()
        elif self._pending is not None:
            self._link.update(self._pending, self._taken)
        self._pending, self._corrected, self._taken = None, False, 0.0
        if self._marks_changed:
            self._marks_changed = False
            self._link.marks()

    def _picture_due(self) -> bool:
        return time.monotonic() - self._pictured >= PICTURE_EVERY

    def _redraw(self) -> None:
        """Draw the pictures anew, in their places."""
        self._pictured = time.monotonic()
        self._outdated = False
        if self._pictures:
            bundle = self._bundle()
            for output in self._pictures:
                output.update(bundle)

    def _redrawn(self) -> None:
        """Show other series than before."""
        self._pending, self._corrected, self._taken = None, False, 0.0
        self._link.series()
        self._redraw()

    def _bundle(self) -> dict[str, Any]:
        text = repr(self)
        return {"text/plain": text, "text/html": html_picture(self.svg(), text)}

    def _check_open(self) -> None:
        if self._closed:
            raise WidgetError(f"{self!r} was closed. Make a new one with the same call.")

    # Older candles

    def _widen(self) -> None:
        """Fetch what an indicator needs before the window, where it is not there yet."""
        with self._lock:
            rows = self._scene.rows
            lacking = rows.lacking(self._scene.window)
            if self._source is None or rows.first is None or not lacking:
                return
            before = rows.first
        self._source.older(before, lacking, self._widened)

    def _widened(self, stretch: CandleHistory) -> None:
        with self._lock:
            self._prepend(stretch)
            self._link.history()
            self._link.marks()
            self._redraw()

    def _prepend(self, stretch: CandleHistory) -> None:
        self._scene.rows.prepend(stretch.frame, whole=stretch.whole)
        if stretch.repaired:
            self.repaired(stretch.repaired)

    def _answer_older(self, before: int, want: int) -> None:
        end = self._scene.rows.place(before)
        start = max(0, end - want)
        self._link.older(before, start, end)
        if end > start:
            oldest = int(self._scene.rows.times[start])
            known = self._scene.shown_from
            self._scene.shown_from = oldest if known is None else min(known, oldest)
            self._link.marks()

    # What the page reports

    def greeted(self) -> None:
        """Send a page that opened what was held back, and ask it for what is still awaited."""
        self.flush()
        for number in self._screenshots.awaited():
            self._link.shoot(number)

    def asked_older(self, before: int, want: int) -> None:
        """Answer a page that scrolled to its oldest candle.

        Args:
            before: its open time, ms.
            want: how many candles to send at most.
        """
        with self._lock:
            rows = self._scene.rows
            first = rows.first
            if rows.place(before) or self._source is None or rows.whole or first is None:
                self._answer_older(before, want)
                return

        def done(stretch: CandleHistory) -> None:
            with self._lock:
                self._prepend(stretch)
                self._answer_older(before, want)

        self._source.older(first, want, done)

    def clicked(self, message: dict[str, Any]) -> None:
        """Tell the callbacks of a click."""
        self._clicks.tell(message)

    def shot(self, message: dict[str, Any], image: bytes | None) -> None:
        """Write the picture that a page took of itself."""
        self._screenshots.take(message, image)


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
