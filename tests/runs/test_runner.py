"""Headless runs of real notebooks in real kernels."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import psutil
import pytest
from bs4 import BeautifulSoup

from botlib.core.errors import RunError
from botlib.runs import RunReport, run_notebook
from botlib.runs import runner as runner_module
from botlib.runs import stop as stop_module
from botlib.runs.runner import _create_output
from tests.support.notebooks import IGNORES_INTERRUPT, IGNORES_SIGTERM, KERNEL, WAIT, write_notebook

SUMMARY = """\
from IPython.display import display
def show(value):
    display({"application/vnd.botlib.summary+json": value, "text/plain": "a summary"}, raw=True)
"""


def statuses(report: RunReport) -> list[str]:
    cells = nbformat.read(report.notebook, as_version=4).cells
    return [cell.metadata.papermill.status for cell in cells if "papermill" in cell.metadata]


def texts(report: RunReport) -> str:
    cells = nbformat.read(report.notebook, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def signalling(log: list[str], line: str, *numbers: signal.Signals) -> Callable[[str], None]:
    """Return a log that sends signals to this process when the notebook prints ``line``."""

    def add(text: str) -> None:
        log.append(text)
        if text == line:
            for number in numbers:
                os.kill(os.getpid(), number)

    return add


class TestGoodRun:
    """One successful run, with one test per property."""

    log: list[str]
    report: RunReport
    folder: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def run(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("project")
        # A kernel of the same name, in another environment, that does not start.
        spec = folder / "share" / "kernels" / "python3"
        spec.mkdir(parents=True)
        broken = {"argv": ["false"], "display_name": "Other", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(broken))
        (folder / "notebooks").mkdir()
        notebook = write_notebook(
            folder / "notebooks" / "my {run}.ipynb",
            "import os, sys\nprint('at', os.getcwd())\nprint('in', sys.executable)",
            "for i in range(50):\n    print('line', i, NAME, flush=True)",
            "import time\nfor i in range(5):\n    print(f'\\r{i} of 5', end='', flush=True)\n"
            "    time.sleep(0.02)",
            SUMMARY,
            "show({'orders': 1}); show({'orders': LIMIT}); 'the last'",
            "from ipywidgets import IntSlider\nIntSlider(value=3)",
            parameters="NAME = 'x'\nLIMIT = None",
        )
        cls.log, cls.folder = [], folder
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(folder / "share"))
            patch.delenv("BOTLIB_HOME", raising=False)
            patch.chdir(folder)
            cls.report = run_notebook(
                notebook, parameters={"NAME": "{y}", "LIMIT": 7}, log=cls.log.append
            )

    def test_the_report_is_complete(self) -> None:
        report = self.report
        assert (report.ok, report.error, report.stop_signal) == (True, None, None)
        assert report.name == "my-run"
        assert report.parameters == {"NAME": "{y}", "LIMIT": 7}
        assert 0 < report.seconds < 100
        assert report.started < report.finished <= datetime.now(UTC)

    def test_the_last_summary_is_extracted(self) -> None:
        assert self.report.summary == {"orders": 7}

    def test_files_are_in_the_runs_directory_and_private(self) -> None:
        assert self.report.notebook.parent == self.folder / "data/runs/my-run"
        assert re.fullmatch(r"\d{8}T\d{6}Z\.ipynb", self.report.notebook.name)
        assert self.report.html == self.report.notebook.with_suffix(".html")
        for path in (self.report.notebook, self.report.html):
            assert (self.folder / path).stat().st_mode & 0o777 == 0o600
        for name in ("data", "data/runs", "data/runs/my-run"):
            assert (self.folder / name).stat().st_mode & 0o777 == 0o700

    def test_the_kernel_is_of_this_interpreter_and_in_this_directory(self) -> None:
        assert f"at {self.folder}" in self.log
        assert f"in {sys.executable}" in self.log

    def test_the_log_has_the_output_of_the_notebook(self) -> None:
        assert [line for line in self.log if line.startswith("line")] == [
            f"line {i} {{y}}" for i in range(50)
        ]
        assert self.log[0].startswith("Running ") and self.log[-1].startswith("The run ended well")

    def test_printed_lines_are_one_output(self) -> None:
        cells = nbformat.read(self.folder / self.report.notebook, as_version=4).cells
        lines, progress = cells[3], cells[4]
        assert [out.output_type for out in lines.outputs] == ["stream"]
        assert lines.outputs[0].text.splitlines() == [f"line {i} {{y}}" for i in range(50)]
        assert [out.text for out in progress.outputs] == ["4 of 5"]

    def test_the_page_loads_nothing_from_the_network(self) -> None:
        text = (self.folder / self.report.html).read_text()
        page = BeautifulSoup(text, "html.parser")
        assert "line 49 {y}" in page.text and "the last" in page.text
        assert "IntSlider(value=3)" in page.text, "a widget is shown as text"
        links = [tag.get("src") or tag.get("href") for tag in page(["script", "link", "img"])]
        assert [link for link in links if link and not link.startswith("data:")] == []
        assert page("script") == []
        assert not re.search(r"@import|url\([\"']?https?:", text)

    def test_the_notebook_itself_is_unchanged(self) -> None:
        source = nbformat.read(self.folder / "notebooks" / "my {run}.ipynb", as_version=4)
        assert len(source.cells) == 7
        assert all(not cell.outputs for cell in source.cells)


def test_a_failing_cell_fails_the_run_and_is_quoted(tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "fails.ipynb",
        "limit = 5",
        "def check(value):\n    raise ValueError(f'{value} is too much')\ncheck(limit + 1)",
        "print('never')",
    )
    reports: list[RunReport] = []
    # A run also works on another thread, where no signal can be caught.
    thread = threading.Thread(
        target=lambda: reports.append(run_notebook(notebook, directory=tmp_path / "runs"))
    )
    thread.start()
    thread.join()
    (report,) = reports
    assert not report.ok
    assert report.summary is None
    assert report.error is not None
    assert report.error.startswith("In [2]: ValueError: 6 is too much\nthe cell:\n    def check(")
    assert "\x1b" not in report.error
    assert report.error.splitlines()[-1].strip() == "ValueError: 6 is too much"
    assert "never" not in texts(report)
    assert statuses(report) == ["completed", "failed", "pending"]
    assert "6 is too much" in report.html.read_text()


def test_the_death_of_the_kernel_fails_the_run(tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "dies.ipynb", "print('alive')", "import os\nos.kill(os.getpid(), 9)", "1"
    )
    report = run_notebook(notebook, directory=tmp_path / "runs")
    assert not report.ok
    assert report.error is not None
    assert "The kernel died, killed by SIGKILL" in report.error
    assert "    os.kill(os.getpid(), 9)" in report.error
    assert statuses(report) == ["completed", "failed", "pending"]
    assert "alive" in texts(report)
    assert "alive" in report.html.read_text()


async def test_a_stopped_run_whose_last_cells_ran_is_ok(tmp_path: Path) -> None:
    # Called while a loop runs, as in a cell of another notebook.
    before = signal.getsignal(signal.SIGINT)
    assert asyncio.get_running_loop().is_running()
    notebook = write_notebook(
        tmp_path / "waits.ipynb", WAIT, SUMMARY + "show({'closed': True})\nprint('closed')"
    )
    log: list[str] = []
    report = run_notebook(
        notebook,
        directory=tmp_path / "runs",
        log=signalling(log, "waiting", signal.SIGTERM, signal.SIGTERM),
    )
    assert report.ok, report.error
    assert report.stop_signal == "SIGTERM"
    assert report.summary == {"closed": True}
    assert "closed" in texts(report)
    assert "Got SIGTERM: asking the notebook to stop, grace 30 s." in log
    metadata = nbformat.read(report.notebook, as_version=4).metadata
    assert metadata.papermill.stop_signal == "SIGTERM"
    assert signal.getsignal(signal.SIGINT) is before


def test_the_runtime_stops_its_work_and_the_last_cells_run(tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "kit.ipynb",
        "from botlib.runtime import get_runtime\nruntime = get_runtime(watch_parent=True)\n"
        "import asyncio\nclosed, stopped = [], asyncio.Event()\n"
        "async def closer():\n    closed.append('tasks')\n    stopped.set()\n"
        "runtime.add_closer('tasks', closer)",
        "print('waiting')\nruntime.call(stopped.wait())",
        SUMMARY + "show({'closed': closed})",
    )
    report = run_notebook(
        notebook, directory=tmp_path / "runs", log=signalling([], "waiting", signal.SIGTERM)
    )
    assert report.ok, report.error
    assert report.stop_signal == "SIGTERM"
    assert report.summary == {"closed": ["tasks"]}


def test_a_notebook_that_ignores_sigterm_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A kernel on a busy machine may take seconds to end after the interrupt.
    monkeypatch.setattr(stop_module, "KILL_AFTER", 60)
    notebook = write_notebook(tmp_path / "deaf.ipynb", IGNORES_SIGTERM, "print('never')")
    report = run_notebook(
        notebook,
        directory=tmp_path / "runs",
        grace=0.5,
        log=signalling([], "waiting", signal.SIGTERM),
    )
    assert not report.ok
    assert report.stop_signal == "SIGTERM"
    assert report.error is not None
    assert "did not end within 0.5 s and its kernel was sent SIGINT" in report.error
    assert "KeyboardInterrupt" in report.error
    assert "never" not in texts(report)


def test_a_notebook_that_ignores_the_interrupt_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_module, "KILL_AFTER", 0.3)
    notebook = write_notebook(tmp_path / "deafer.ipynb", IGNORES_INTERRUPT)
    report = run_notebook(
        notebook,
        directory=tmp_path / "runs",
        grace=0.3,
        log=signalling([], "waiting", signal.SIGTERM),
    )
    assert not report.ok
    assert report.error is not None
    assert "was sent SIGKILL.\nThe kernel died, killed by SIGKILL" in report.error
    assert "waiting" in texts(report)


def test_a_run_stopped_before_its_kernel_is_ready_executes_nothing(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "late.ipynb", "print('never')")
    report = run_notebook(notebook, directory=tmp_path / "runs", timeout=0)
    assert not report.ok
    assert report.stop_signal is None
    assert report.error is not None
    assert report.error.startswith("The run did not end within its timeout of 0 s")
    assert texts(report) == ""
    assert statuses(report) == ["failed"]


RUNNER = """\
import sys
from pathlib import Path
from botlib.runs import run_notebook
if __name__ == "__main__":
    report = run_notebook(
        Path(sys.argv[1]), directory=Path(sys.argv[2]), log=lambda line: print(line, flush=True)
    )
    print(report.ok, report.stop_signal, report.summary, flush=True)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a notebook, which prints the pid of its kernel and waits."""
    notebook = write_notebook(
        tmp_path / "run.ipynb",
        "import os\nprint('pid', os.getpid())",
        WAIT,
        SUMMARY + "show({'closed': True})",
    )
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(notebook), str(tmp_path / "runs")],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def read_until(process: subprocess.Popen[str], start: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    raise AssertionError(f"the runner ended without a line that starts with {start!r}")


def test_sigterm_to_the_runner_ends_it_in_order(runner: subprocess.Popen[str]) -> None:
    kernel = psutil.Process(int(read_until(runner, "pid").split()[1]))
    read_until(runner, "waiting")
    runner.terminate()
    assert read_until(runner, "True") == "True SIGTERM {'closed': True}\n"
    assert runner.wait(60) == 0
    assert not kernel.is_running()


def test_a_kernel_does_not_outlive_a_killed_runner(
    runner: subprocess.Popen[str], tmp_path: Path
) -> None:
    kernel = psutil.Process(int(read_until(runner, "pid").split()[1]))
    read_until(runner, "waiting")
    runner.kill()
    deadline = time.monotonic() + 60
    while kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the kernel is an orphan"
        time.sleep(0.1)
    (saved,) = (tmp_path / "runs" / "run").glob("*.ipynb")
    assert nbformat.read(saved, as_version=4).cells


class TestRefusals:
    """A refused run starts no kernel and writes no file."""

    @pytest.fixture(autouse=True)
    def no_files(self, tmp_path: Path) -> Iterator[None]:
        yield
        assert not (tmp_path / "runs").exists()

    def test_a_missing_notebook(self, tmp_path: Path) -> None:
        write_notebook(tmp_path / "there.ipynb", "1")
        with pytest.raises(
            RunError, match=r"no notebook .*here\.ipynb\. There are: .*there\.ipynb"
        ):
            run_notebook(tmp_path / "here.ipynb", directory=tmp_path / "runs")

    @pytest.mark.parametrize("text", ["", "print('x')", "[]", "{}", '{"nbformat": 4}', "\xff"])
    def test_a_file_that_is_not_a_notebook(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.ipynb").write_bytes(text.encode("latin-1"))
        with pytest.raises(RunError, match="as a notebook"):
            run_notebook(tmp_path / "x.ipynb", directory=tmp_path / "runs")

    def test_a_notebook_without_a_kernel(self, tmp_path: Path) -> None:
        notebook = write_notebook(tmp_path / "x.ipynb", "1", kernel=None)
        with pytest.raises(RunError, match="names no kernel"):
            run_notebook(notebook, directory=tmp_path / "runs")

    def test_another_language(self, tmp_path: Path) -> None:
        notebook = write_notebook(tmp_path / "x.ipynb", "1", kernel={**KERNEL, "language": "R"})
        with pytest.raises(RunError, match="written for 'R'"):
            run_notebook(notebook, directory=tmp_path / "runs")

    def test_unknown_parameters(self, tmp_path: Path) -> None:
        notebook = write_notebook(tmp_path / "x.ipynb", "1", parameters="DRY_RUN = True")
        with pytest.raises(RunError, match="Did you mean 'DRY_RUN'"):
            run_notebook(notebook, parameters={"DRYRUN": 1}, directory=tmp_path / "runs")

    @pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 101])
    def test_a_name_that_is_not_a_directory_name(self, tmp_path: Path, name: str) -> None:
        notebook = write_notebook(tmp_path / "x.ipynb", "1")
        with pytest.raises(RunError, match="as the name of a run"):
            run_notebook(notebook, name=name, directory=tmp_path / "runs")

    @pytest.mark.parametrize("setting", ["grace", "timeout"])
    def test_a_negative_time(self, tmp_path: Path, setting: str) -> None:
        notebook = write_notebook(tmp_path / "x.ipynb", "1")
        with pytest.raises(RunError, match=f"-1 as {setting}"):
            run_notebook(notebook, directory=tmp_path / "runs", **{setting: -1})


def test_a_page_that_cannot_be_written_fails_the_run_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(notebook: object, *, title: str) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(runner_module, "render_html", broken)
    notebook = write_notebook(tmp_path / "x.ipynb", SUMMARY + "show({'done': 1})")
    report = run_notebook(notebook, directory=tmp_path / "runs")
    assert not report.ok
    assert report.error == f"Cannot write {report.html}: no space left."
    assert report.summary == {"done": 1}


def test_runs_in_the_same_second_have_different_files(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "x.ipynb", "1")
    paths = {_create_output(tmp_path / "runs" / "x", notebook) for _ in range(2)}
    assert len(paths) == 2
    assert all(re.fullmatch(r"\d{8}T\d{6}Z\.ipynb", path.name) for path in paths)


def test_a_directory_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "x.ipynb", "1")
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunError, match=r"Cannot write the run into .*runs/x"):
        run_notebook(notebook, directory=tmp_path / "runs")
