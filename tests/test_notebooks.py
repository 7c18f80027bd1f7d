"""The form of the notebooks, and that Run All succeeds twice in one kernel."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from botlib.core.timeframe import timeframe_ms
from botlib.store import CandleStorage, Database
from tests.support.paper_process import paper_exchange
from tests.support.samples import NEW_YEAR, flat

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 20
SHORTER = {
    "00_first_steps": {"RUN_FOR": "2h", "WATCH_FOR": "5s"},
    "03_strategy_backtest": {"REPLAY_FOR": "6h"},
    "04_paper_trading": {"RUN_FOR": "2h"},
}
"""Shorter parameters for two runs. With their own, the notebooks run once under nbval."""

LARGEST_OUTPUT = 150_000
"""Most bytes of one kept output: pictures, not the data that they show."""

DRAWN = {
    "00_first_steps": 2,
    "01_market_data": 2,
    "02_indicators": 2,
    "02b_your_own_strategy": 1,
    "03_strategy_backtest": 1,
    "04_paper_trading": 2,
}
"""The numbers of charts and dashboards in the notebooks."""

MACHINE_PATH = re.compile(r"/(?:home|root|tmp|Users|var)/|[A-Z]:\\\\Users")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_form_of_a_notebook(path: Path) -> None:
    notebook = read(path)
    code = code_cells(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert "parameters" in code[0].metadata.get("tags", [])
    for cell in code:
        assert cell.source.count("\n") < LONGEST_CELL, cell.source
        assert "print(" not in cell.source and "sys.path" not in cell.source
    for line in code[0].source.splitlines():
        assert line.partition(" = ")[0].isupper(), f"{line!r} is not NAME = value"
    # The kept outputs are those of one Run All.
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "widgets" not in notebook.metadata


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def first_bot(notebook: nbformat.NotebookNode) -> str | None:
    """Return the line of the first bot that a notebook shows."""
    texts = (output.get("data", {}).get("text/plain", "") for output in outputs(notebook))
    return next((text for text in texts if text.startswith("PAPER · ")), None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_outputs_are_small_and_name_no_machine(path: Path) -> None:
    notebook = read(path)
    here = str(path.resolve().parents[1])
    for output in outputs(notebook):
        text = json.dumps(output)
        assert len(text) <= LARGEST_OUTPUT
        assert not MACHINE_PATH.search(text) and here not in text
        assert output.output_type != "error"
        assert not [mime for mime in output.get("data", {}) if "widget" in mime]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_charts_are_pictures_of_the_end(path: Path) -> None:
    cells = [
        cell
        for cell in code_cells(read(path))
        if re.search(r"\.(?:chart|dashboard)\(", cell.source)
    ]
    assert len(cells) == DRAWN.get(path.stem, 0)
    for cell in cells:
        (output,) = cell.outputs
        name, page = output.data["text/plain"], output.data["text/html"]
        if "bot." in cell.source:
            assert "stopped" in name, "the picture was not updated"
        # The dashboard is a card with a picture of the equity, a chart is one picture.
        assert "data:image/svg+xml;base64," in page and "http" not in page


@pytest.mark.kernel
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_run_all_twice_succeeds(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    notebook = shorter(path)
    notebook.cells += copy.deepcopy(notebook.cells)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
    run(notebook, path)
    assert first_bot(notebook) == first_bot(read(path)), "run the notebook and keep its outputs"


@pytest.mark.kernel
@pytest.mark.timeout(900)
def test_the_first_steps_go_on_at_real_prices_if_there_is_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    (path,) = (path for path in NOTEBOOKS if path.stem == "00_first_steps")
    notebook = shorter(path)
    with paper_exchange("--start", "now") as url:
        # A market that stands in for the venue, on this computer.
        connecting = next(cell for cell in code_cells(notebook) if '"mirror"' in cell.source)
        mirror = {"market": "mirror", "mirror": {"upstream": url}}
        connecting.source = connecting.source.replace('{"market": "mirror"}', json.dumps(mirror))
        run(notebook, path)
    assert connecting.outputs[-1].data["text/plain"] == "'Real prices of Binance, play money.'"
    shown = [output.data.get("text/plain", "") for output in outputs(notebook) if "data" in output]
    assert any(text.startswith("MIRROR · paper:mirror:binance") for text in shown), shown


@pytest.mark.kernel
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("stem", "timeframe"), [("01_market_data", "1h"), ("02_indicators", "15m")]
)
def test_real_candles_are_shown_if_some_are_stored(
    stem: str, timeframe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    (path,) = (path for path in NOTEBOOKS if path.stem == stem)
    length = timeframe_ms(timeframe)
    with Database.open(tmp_path / "data" / "tradingbot.db", "binance") as database:
        candles = [
            flat(NEW_YEAR + place * length, 40_000.0 + place, timeframe=timeframe)
            for place in range(300)
        ]
        CandleStorage(database).write(candles, now=NEW_YEAR + 300 * length)
    notebook = shorter(path)
    run(notebook, path)
    shown = [output.data.get("text/plain", "") for output in outputs(notebook) if "data" in output]
    assert "'binance'" in shown and any(
        f"BTC/USDT {timeframe} · binance · 300" in text for text in shown
    )


def shorter(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with parameters that take less time."""
    notebook = read(path)
    parameters = code_cells(notebook)[0]
    for name, value in SHORTER.get(path.stem, {}).items():
        parameters.source, found = re.subn(
            rf'^{name} = ".*?"', f'{name} = "{value}"', parameters.source, flags=re.MULTILINE
        )
        assert found == 1, f"{path.stem} has no parameter {name}"
    return notebook


def run(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Run all cells in a kernel; the error of a cell is raised."""
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []
