"""The chart and the dashboard in JupyterLab in Chromium, beside plotly's FigureWidget.

Needs Chromium and the packages of the browser tests; without them the benchmark is skipped with the
reason. The measurements are in `chart_page`, the code of their cells in `chart_kernel`.
"""

from __future__ import annotations

import asyncio
import shutil

from benchmarks.measuring import Row, Size, absent, skipped


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per figure: of the kit, of plotly, and its aim.

    Raises:
        BenchmarkError: a cell failed, or a page did not answer in time.
    """
    executable = shutil.which("chromium")
    reason = absent("playwright") or ("" if executable else "Chromium is not installed")
    if executable is None or reason:
        return [skipped("figure", "the chart in a browser", reason)]
    from benchmarks.chart_page import measure_page

    return asyncio.run(measure_page(executable, size))
