"""`watch_progress`: a progress bar, drawn by the thread that waits for the runtime."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from botlib.runtime import Runtime

T = TypeVar("T")

REFRESH: Final = 0.5
"""Seconds between two updates of the bar."""


class ProgressStep(NamedTuple):
    """Progress of some work in units; with a total of 0 no bar is shown yet."""

    done: int
    total: int
    note: str


def watch_progress(
    runtime: Runtime,
    work: Coroutine[Any, Any, T],
    step: Callable[[], ProgressStep],
    *,
    what: str,
    unit: str,
) -> T:
    """Run ``work`` on the runtime, show its progress, and return its result.

    An interrupt cancels the work and is raised.

    Args:
        step: returns the present progress.
        what: name of the work, left of the bar.
        unit: name of the units.
    """
    future = runtime.submit(work)
    bar: Any = None
    try:
        while not wait([future], timeout=REFRESH).done:
            bar = _show(bar, step(), what, unit)
        if bar is not None:
            _show(bar, step(), what, unit)
    except BaseException:
        future.cancel()
        raise
    finally:
        if bar is not None:
            bar.close()
    return future.result()


def _show(bar: Any, step: ProgressStep, what: str, unit: str) -> Any:
    if not step.total:
        return bar
    if bar is None:
        from tqdm import tqdm

        # Plain text renders in JupyterLab, in terminals and in executed notebooks.
        bar = tqdm(
            total=step.total,
            file=sys.stdout,
            desc=what,
            unit=unit,
            mininterval=REFRESH,
            bar_format="{desc} {percentage:3.0f}% |{bar:30}| {n_fmt}/{total_fmt} {unit}{postfix}",
        )
    done = min(step.done, step.total)
    if done != bar.n:
        bar.n = done
        if step.note:
            bar.set_postfix_str(step.note, refresh=False)
        bar.refresh()
    return bar
