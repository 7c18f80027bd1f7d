"""`run_notebook`: one headless run of a notebook, from its checks to its report."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from botlib.config.secrets import keys_at_hand
from botlib.core.errors import RunError
from botlib.core.files import open_private, private_directory, read_regular
from botlib.core.project import runs_directory
from botlib.core.text.masking import masked
from botlib.runs.parameters import check_parameters
from botlib.runs.report import describe_cell_error, find_summary, render_html
from botlib.runs.stop import DEADLINE, StopControl
from botlib.runtime import LEFT_OVER, NEVER_WORKED

LARGEST: Final = 200_000_000
"""Most bytes of a notebook."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NO_PARAMETERS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The result of a run, and the paths of its files."""

    name: str
    notebook: Path
    """The executed notebook."""
    html: Path
    parameters: Mapping[str, object]
    started: datetime
    """UTC, like ``finished``."""
    finished: datetime
    seconds: float
    ok: bool
    """Whether every cell ran. A run stopped by a signal is ok if its last cells ran."""
    error: str | None
    stop_signal: str | None
    """Name of the signal that stopped the run, such as ``SIGTERM``."""
    summary: dict[str, Any] | None
    """The last output with the mime type ``application/vnd.botlib.summary+json``."""
    left_over: tuple[str, ...] = ()
    """What the stop of its bot could not do in time, such as a position without its stop."""
    never_worked: tuple[str, ...] = ()
    """Strategies of its bot that failed or were refused, and never did anything else."""

    @property
    def well(self) -> bool:
        """Whether every cell ran, every strategy worked, and nothing was left over."""
        return self.ok and not self.never_worked and not self.left_over

    @property
    def ending(self) -> str:
        """How it ended, as a verb."""
        if not self.ok:
            return "failed"
        if self.never_worked:
            return "ended, but a strategy never worked,"
        return "ended, but left something over," if self.left_over else "ended well"


def run_notebook(
    notebook: Path,
    *,
    name: str | None = None,
    parameters: Mapping[str, object] = _NO_PARAMETERS,
    directory: Path | None = None,
    grace: float = 30.0,
    timeout: float | None = None,
    log: Callable[[str], None] | None = None,
) -> RunReport:
    """Run a notebook headlessly, and return a report.

    Its kernel uses the current interpreter and the current directory. If this is called on the
    main thread, SIGTERM and SIGINT stop the run in order.

    Args:
        notebook: the notebook; it is not changed.
        name: name of the run and of its directory, by default that of the notebook.
        parameters: values for names that the cell tagged ``parameters`` assigns.
        directory: where ``<name>/<utc>.ipynb`` and ``.html`` are written; None is ``data/runs``
            of the project.
        grace: seconds that a stopped notebook has for its last cells before it is interrupted.
        timeout: seconds after which the run is stopped and counts as failed, or None.
        log: called with each line to show, the notebook's own output included, also from other
            threads.

    Raises:
        RunError: the run was refused before its start, or its files cannot be written.
    """
    notebook = Path(notebook)
    name = _run_name(notebook, name)
    keys_at_hand()
    for what, value in (("grace", grace), ("timeout", timeout)):
        if value is not None and not 0 <= value < float("inf"):
            raise RunError(f"Cannot use {value!r} as {what}. Accepted: seconds from 0 up.")
    given = dict(parameters)
    check_notebook(notebook, given)
    output = _create_output(
        (runs_directory() if directory is None else Path(directory)) / name, notebook
    )
    log = _masking(log)
    stop = StopControl(grace=grace, timeout=timeout, log=log)
    started, start = datetime.now(UTC), time.monotonic()
    log(f"Running {notebook} into {output}.")
    left = output.with_suffix(".left-over")
    idle = output.with_suffix(".never-worked")
    files = {LEFT_OVER: str(left.resolve()), NEVER_WORKED: str(idle.resolve())}
    with stop.watching():
        error = _execute(notebook, output, given, stop, log, files)
        executed = _read(output)
        html = output.with_suffix(".html")
        try:
            _write(html, render_html(executed, title=name).encode())
        except Exception as failure:
            # The run is reported even if its page can not be rendered.
            error = "\n".join(filter(None, [error, f"Cannot write {html}: {failure}."]))
    report = RunReport(
        name=name,
        notebook=output,
        html=html,
        parameters=MappingProxyType(given),
        started=started,
        finished=datetime.now(UTC),
        seconds=time.monotonic() - start,
        ok=error is None,
        error=None if error is None else masked(error),
        stop_signal=stop.stop_signal,
        summary=find_summary(executed),
        left_over=_taken_lines(left),
        never_worked=_taken_lines(idle),
    )
    for words in report.left_over:
        log(f"Left over at the stop: {words}.")
    for words in report.never_worked:
        log(f"Never worked: {words.rstrip('.')}.")
    log(f"The run {report.ending} after {report.seconds:.1f} s: {html}.")
    return report


def check_notebook(notebook: Path, parameters: Mapping[str, object] = _NO_PARAMETERS) -> None:
    """Raise if a notebook can not run with these parameters.

    Raises:
        RunError: it is missing, not a notebook, not for Python, or the parameters do not fit.
    """
    if not notebook.is_file():
        near = sorted(str(path) for path in notebook.parent.glob("*.ipynb"))
        found = f" There are: {', '.join(near)}." if near else ""
        raise RunError(f"There is no notebook {notebook}.{found} Give the path of an .ipynb file.")
    node = _read(notebook)
    kernel = node.metadata.get("kernelspec", {})
    if not kernel.get("name"):
        raise RunError(
            f"{notebook} names no kernel. Open it in JupyterLab, choose a Python kernel, save it."
        )
    language = kernel.get("language") or node.metadata.get("language_info", {}).get("name")
    if language not in (None, "python"):
        raise RunError(f"{notebook} is written for {language!r}. Accepted: notebooks for 'python'.")
    _check_no_secret(node, notebook)
    check_parameters(node, parameters, notebook)


def _masking(log: Callable[[str], None] | None) -> Callable[[str], None]:
    """Return a log whose lines are masked."""
    return lambda line: None if log is None else log(masked(line))


def _check_no_secret(node: Any, path: Path) -> None:
    """Raise if a cell contains a key, which would be copied into the executed notebook."""
    for number, cell in enumerate(node.cells, 1):
        if masked(cell.source) != cell.source:
            raise RunError(
                f"Cell {number} of {path} contains a key of the environment or of the file .env. "
                "It would be copied into every executed notebook. Remove it from the cell."
            )


def _run_name(notebook: Path, name: str | None) -> str:
    if name is None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", notebook.stem)[:100].strip("._-") or "notebook"
    if not _NAME.fullmatch(name):
        raise RunError(
            f"Cannot use {name!r} as the name of a run: it names a directory. Accepted: up to 100 "
            "letters, digits, dots, dashes and underscores, the first a letter or digit."
        )
    return name


def _read(path: Path) -> Any:
    import nbformat

    try:
        text = read_regular(path, LARGEST).decode()
        node = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        for cell in node.cells:
            _ = cell.cell_type, cell.source + "", cell.metadata.get("tags")
        _ = node.metadata.get("kernelspec", {}).get("name")
    except Exception as error:
        # What has not the form of a notebook causes errors of many kinds.
        words = f"{type(error).__name__}: {error}"[:200]
        raise RunError(f"Cannot read {path} as a notebook: {words}.") from error
    return node


def _create_output(directory: Path, notebook: Path) -> Path:
    """Create the output file under a new name, and return its path.

    It starts as a copy of the notebook, so that it can be read however the run ends.
    """
    try:
        private_directory(directory)
        while True:
            path = directory / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.ipynb"
            try:
                _write(path, read_regular(notebook, LARGEST))
            except FileExistsError:
                # Another run started in the same second.
                time.sleep(0.1)
            else:
                return path
    except OSError as error:
        raise RunError(f"Cannot write the run into {directory}: {error}.") from error


def _write(path: Path, data: bytes) -> None:
    with open_private(path, "xb") as file:
        file.write(data)


def _taken_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a file and delete it; none if it was never written."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        path.unlink()
    except OSError:
        return ()
    return tuple(dict.fromkeys(filter(None, lines)))


def _execute(
    notebook: Path,
    output: Path,
    parameters: dict[str, object],
    stop: StopControl,
    log: Callable[[str], None],
    environment: Mapping[str, str],
) -> str | None:
    """Execute the notebook, and return its error as text, or None."""
    from papermill.exceptions import PapermillExecutionError

    from botlib.runs.papermill_engine import execute

    def show(text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                log(line)

    try:
        execute(
            str(notebook), str(output), parameters, stop=stop, on_text=show, environment=environment
        )
        error = None
    except PapermillExecutionError as failure:
        error = describe_cell_error(failure)
    except RunError as failure:
        error = str(failure)
    except Exception as failure:
        # Every run ends with a report; the notebook has been saved on the way.
        error = f"{type(failure).__name__}: {failure}"
    if stop.reason == DEADLINE:
        reason = f"The run did not end within its timeout of {stop.timeout:g} s and was stopped."
        error = reason if error is None else f"{reason}\n{error}"
    elif stop.escalated is not None and error is not None:
        error = (
            f"Stopped by {stop.reason}; the notebook did not end within {stop.grace:g} s and "
            f"its kernel was sent {stop.escalated}.\n{error}"
        )
    return error
