"""Clicks on a chart, and the callbacks for them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from botlib.core.errors import InvalidInput

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """A click on a chart.

    Attributes:
        timestamp: open time of the candle, ms; None outside of the candles.
        price: on the scale of the pane.
        pane: 0 is the pane of the candles.
        series: id of the series that was hit, or None.
    """

    timestamp: int | None
    price: float | None
    pane: int
    series: str | None


OnClick = Callable[[Click], object]
Run = Callable[[Coroutine[Any, Any, None]], object]
"""A function that starts a coroutine on a loop and returns at once."""


class Clicks:
    """The callbacks of one chart.

    Args:
        run: starts the coroutine of an async callback; None if there is no loop.
        say: shows a text over the chart.
    """

    def __init__(self, run: Run | None, say: Callable[[str], None]) -> None:
        self._run = run
        self._say = say
        self._callbacks: list[OnClick] = []

    def add(self, callback: OnClick) -> None:
        """Call ``callback`` at every click from now on; added twice, it is called once.

        Raises:
            InvalidInput: it cannot be called, or is async and there is no loop.
        """
        if not callable(callback):
            raise InvalidInput(f"on_click takes a function of one click, not {callback!r}.")
        if inspect.iscoroutinefunction(callback) and self._run is None:
            raise InvalidInput(
                "This chart has no bot whose thread could run an async callback. "
                "Give it a plain function."
            )
        if callback not in self._callbacks:
            self._callbacks.append(callback)

    def dispatch(self, message: dict[str, Any]) -> None:
        """Call every callback with a click as reported by the page."""
        moment, price = message.get("time"), message.get("price")
        click = Click(
            timestamp=None if moment is None else round(float(moment) * 1_000),
            price=None if price is None else float(price),
            pane=int(message.get("pane") or 0),
            series=message.get("series"),
        )
        for callback in tuple(self._callbacks):
            if inspect.iscoroutinefunction(callback) and self._run is not None:
                self._run(self._later(callback, click))
                continue
            try:
                callback(click)
            except Exception as error:
                self._failed(callback, error)

    async def _later(self, callback: OnClick, click: Click) -> None:
        try:
            result = callback(click)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            self._failed(callback, error)

    def _failed(self, callback: OnClick, error: Exception) -> None:
        name = getattr(callback, "__name__", repr(callback))
        logger.error("on_click: %s failed", name, exc_info=error)
        self._say(f"on_click: {name} failed: {type(error).__name__}: {error}")
