"""A progress bar over market time, drawn by the thread that waits."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final

from botlib.clock import MarketClock, iso

if TYPE_CHECKING:
    from botlib.runtime import Runtime

REFRESH: Final = 0.5
"""Seconds between two pictures of the bar."""


def watch_progress(
    runtime: Runtime, work: Coroutine[Any, Any, None], clock: MarketClock, span: float
) -> None:
    """Run ``work`` on the runtime and show how much of ``span`` (seconds of market time) is over.

    An interrupt cancels the work and is raised.
    """
    from tqdm import tqdm

    start = clock.now()
    future = runtime.submit(work)
    # Plain text, in place: it renders in JupyterLab, terminals and executed notebooks alike.
    bar = tqdm(
        total=round(span / 60),
        unit="min",
        desc="market time",
        file=sys.stdout,
        mininterval=REFRESH,
        bar_format="{desc} {percentage:3.0f}% |{bar:30}| {n_fmt}/{total_fmt} min{postfix}",
    )
    try:
        while not wait([future], timeout=REFRESH).done:
            _show(bar, clock, start)
        _show(bar, clock, start)
    except BaseException:
        future.cancel()
        raise
    finally:
        bar.close()
    future.result()


def _show(bar: Any, clock: MarketClock, start: int) -> None:
    now = clock.now()
    minutes = min(bar.total, (now - start) // 60_000)
    if minutes != bar.n:
        bar.n = minutes
        bar.set_postfix_str(f"{iso(now)} UTC", refresh=False)
        bar.refresh()
