"""The check of a strategy: it must give live the signals that it gives over history.

History is cut at many candles and the strategy called again. The values of a candle must not change
when later candles arrive (the strategy would look ahead or repaint), and after the warm-up they
must not depend on where history began.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.checking.lookahead import LookAheadCheck
from botlib.backtesting.checking.report import CheckReport, Finding, Settling
from botlib.backtesting.checking.truncation import ObservedColumn, has_signal, observe, python_value
from botlib.backtesting.checking.warmup import WarmupCheck
from botlib.backtesting.inputs import frames_for
from botlib.core.errors import InvalidInput
from botlib.strategy import strategy_object

if TYPE_CHECKING:
    import pandas as pd

    from botlib.frames import Frames
    from botlib.strategy import Strategy


def check(
    strategy: Strategy,
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    cuts: int = 50,
    seed: int = 0,
) -> CheckReport:
    """Call a strategy over cut histories and report every value that differs.

    History is cut after candles with a signal and after others, chosen at random over the whole of
    it, and then after every candle of the stretch with the most signals. The last candle of each
    cut, the one that trades live, is compared as well. Higher timeframes are cut by their close.
    Then history begins later, to measure how many candles the strategy needs before its signals no
    longer depend on where it began, and the result is compared with its ``warmup``.

    Args:
        data: frames, one candle frame, or candle frames by timeframe.
        cuts: how many times the whole history is cut; four times as many cuts are made in the
            stretch, half as many at the start.
        seed: seed of the random choice of candles.

    Raises:
        InvalidInput: the candles cannot be used, or ``cuts`` is not positive.
        ConfigError: the signals over the whole history do not fit its frame.
    """
    strategy = strategy_object(strategy, "check")
    if cuts < 1:
        raise InvalidInput(f"cuts must be at least 1, not {cuts!r}.")
    frames = frames_for(strategy, data)
    random = np.random.default_rng(seed)
    whole = observe(strategy, frames)
    findings = _repeated(whole, observe(strategy, frames))
    made = 0
    if not findings:
        ahead = LookAheadCheck(strategy, frames, whole)
        ahead.compare_everywhere(cuts, random)
        ahead.compare_densest(4 * cuts)
        findings, made = ahead.findings(), ahead.made
    settling: tuple[Settling, ...] = ()
    notes: list[str] = []
    if findings:
        notes.append("The warm-up was not measured: it means nothing before this is put right.")
    else:
        warm_up = WarmupCheck(strategy, frames, whole)
        if warm_up.possible:
            warm_up.compare_starts(max(cuts // 2, 1), random)
            findings, settling, made = warm_up.findings(), warm_up.settling(), made + warm_up.made
            notes += warm_up.remarks()
        else:
            notes.append(
                f"The warm-up was not measured: {len(frames.frame):,} candles are too few for it."
            )
    signals = has_signal(whole)
    if not signals.any():
        notes.append("There was no signal at all: load more candles, or look at the strategy.")
    return CheckReport(
        strategy=repr(strategy),
        findings=tuple(findings),
        settling=settling,
        warmup=strategy.warmup,
        cuts=made,
        rows=len(frames.frame),
        signals=int(signals.sum()),
        notes=tuple(notes),
    )


def _repeated(first: dict[str, ObservedColumn], second: dict[str, ObservedColumn]) -> list[Finding]:
    findings = []
    for name, column in second.items():
        if name not in first:
            continue
        rows = np.flatnonzero(column.differs(first[name]))
        if len(rows):
            row = int(rows[0])
            findings.append(
                Finding(
                    kind="not repeatable",
                    column=name,
                    bar=column.index[row],
                    known=column.index[-1],
                    then=python_value(first[name].values[row]),
                    whole=python_value(column.values[row]),
                    text=f"is not repeatable: asked twice over the same candles, it differs at "
                    f"{len(rows):,} of them, first at {column.index[row]}. Look for random "
                    "numbers, the time of day, or something kept on the strategy.",
                )
            )
    return findings
