"""The report of a run: its HTML page, its summary, and its error in a few lines."""

from __future__ import annotations

import json
import re
import signal
from typing import Any, Final

from botlib.views.summary import SUMMARY_MIME

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SOURCE_LINES: Final = 6
_TRACEBACK_LINES: Final = 8

# The standard template loads scripts for formulas, diagrams and widgets from the network.
_OFFLINE = """\
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""

# Without those scripts a widget or a diagram is shown by its plain form.
_PRIORITY: Final = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
)


def render_html(notebook: Any, *, title: str) -> str:
    """Return an executed notebook as one HTML page that loads nothing from the network.

    Outputs are shown in their static forms: pictures, tables and text. HTML that a cell wrote is
    kept.
    """
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    static = notebook.copy()
    static.metadata = {key: value for key, value in notebook.metadata.items() if key != "widgets"}
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        config=Config({"NbConvertBase": {"display_data_priority": list(_PRIORITY)}}),
        extra_loaders=[DictLoader({"offline.html.j2": _OFFLINE})],
        template_file="offline.html.j2",
    )
    page, _ = exporter.from_notebook_node(static, resources={"metadata": {"name": title}})
    return str(page)


def find_summary(notebook: Any) -> dict[str, Any] | None:
    """Return the last run summary among the notebook's outputs, or None."""
    for cell in reversed(notebook.cells):
        for output in reversed(cell.get("outputs", [])):
            found = output.get("data", {}).get(SUMMARY_MIME)
            if isinstance(found, str):
                found = json.loads(found)
            if isinstance(found, dict):
                return dict(found)
    return None


def describe_cell_error(error: Any) -> str:
    """Return a papermill error in a few lines: cell, error, source and end of the traceback."""
    trace = _ANSI.sub("", "\n".join(error.traceback)).splitlines()
    lines = [
        f"In [{error.exec_count}]: {_ANSI.sub('', f'{error.ename}: {error.evalue}')}",
        *_cell(error.source),
    ]
    if trace:
        lines += ["the end of the traceback:", *_indented(trace[-_TRACEBACK_LINES:])]
    return "\n".join(lines)


def describe_death(source: str, exit_code: int | None) -> str:
    """Return how and in which cell a kernel died.

    Args:
        source: of the cell.
        exit_code: of the kernel, negative for a signal, None if unknown.
    """
    how = ""
    if exit_code is not None:
        how = f", exit code {exit_code}"
        if exit_code < 0:
            how = f", killed by {signal.Signals(-exit_code).name}"
    return "\n".join(
        [f"The kernel died{how}. The cells after this one did not run.", *_cell(source)]
    )


def _cell(source: str) -> list[str]:
    lines = source.strip().splitlines()
    more = ["    …"] if len(lines) > _SOURCE_LINES else []
    return ["the cell:", *_indented(lines[:_SOURCE_LINES]), *more]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
