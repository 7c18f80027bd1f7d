"""Canary keys, in the environment and in `.env`: no artefact of the kit holds a piece of them.

A headless run holds them in memory, and lets them into errors, log lines, names, reasons and
outputs in every encoding. Whatever is written, printed, answered or shown is then searched.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.canaries import CANARIES, KEY, ODD, SECRET, seen
from tests.support.notebooks import write_notebook

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

BEGIN = """
import base64, logging, os, time, traceback, urllib.parse, urllib.request
from pathlib import Path
from dotenv import dotenv_values
read = dotenv_values(".env", interpolate=False)
ALL = [os.environ["BINANCE_API_KEY"], read["BINANCE_API_SECRET"], read["BINANCE_DEMO_API_SECRET"]]
def coded(text): return base64.b64encode(text.encode()).decode()
FORMS = [
    form
    for one in ALL
    for form in (
        one, coded(one), coded("user:" + one), coded("u" + one[3:]), one.encode().hex(),
        urllib.parse.quote(one, safe=""), one[5:13], one[-9:], coded("xy" + one[7:19]),
    )
]
LEAK = " ".join(FORMS)
out = Path("written"); out.mkdir()
"""

CONNECT = """
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=300, health={"port": 0},
    paper={"seed": 7, "speed": 600}, strategies=[],
)
"""

TASKS = """
@bot.task(interval=0.05)
async def leaky():
    raise ValueError(LEAK)

@bot.task(interval=0.05, name="chained")
async def chained():
    try:
        raise KeyError(LEAK)
    except KeyError as error:
        raise RuntimeError("more " + LEAK) from error

from botlib.strategies import TrendCross
later = []
class Leaky(TrendCross):
    def signals(self, data):
        if later:
            raise ValueError(LEAK)
        return super().signals(data)
bot.trade(Leaky(timeframes=("1m",)), "BTC/USDT", name="leaky")
later.append(1)
logging.getLogger("botlib.canary").error("said %s", LEAK)
try:
    raise OSError(LEAK)
except OSError:
    logging.getLogger("botlib.canary").exception("failed with %s", FORMS)
logging.getLogger("elsewhere").warning("to the error output %s", LEAK)
time.sleep(2)
"""

SHOWN = (
    "bot",
    "bot.tasks",
    "bot.tasks.status()",
    "print(bot.tasks.status())",
    "print(bot.tasks.status().as_dict())",
    "print(bot.tasks.status()['leaky'].last_traceback)",
    "bot.status()",
    "print(bot.status())",
    "bot.health()",
    "print(bot.health().to_dict())",
    "bot.strategies",
    "print(bot.strategies.to_string())",
    "bot.halts",
    "bot.orders()",
    "bot.books",
    "bot.dashboard()",
    "bot.chart('BTC/USDT', '1m', title=LEAK)",
    "bot.kill(LEAK)",
    "print(bot.halts.to_string())",
    "print(LEAK)",
    "LEAK",
    "ALL",
    "from IPython.display import HTML, JSON, Markdown, display\ndisplay(HTML(LEAK), JSON(FORMS))",
    "display(Markdown(LEAK))",
    "import sys\nprint(LEAK, file=sys.stderr)",
    "bot.log if hasattr(bot, 'log') else None",
)

ANSWERS = """
answers = []
for path in ("/health", "/api/v1/tasks/status"):
    try:
        answers.append(urllib.request.urlopen(bot.url + path).read())
    except urllib.error.HTTPError as error:
        answers.append(error.read())
(out / "answers.json").write_bytes(b"\\n".join(answers))
"""

SIGNED = """
from botlib.config.secrets import ApiKeys
from botlib.venues.binance.venue import BinanceExchange
from botlib.runtime import get_runtime
async def refused():
    exchange = BinanceExchange(
        venue="binance", rest_url=bot.aio.engine.paper.url, keys=ApiKeys.from_environment()
    )
    await exchange.connect()
    try:
        await exchange.balances()
    finally:
        await exchange.close()
def fails():
    held = ALL, LEAK
    get_runtime().call(refused())
"""

MODES = """
shell = get_ipython()
for mode in ("Plain", "Context", "Verbose", "Minimal", "Docs"):
    shell.run_line_magic("xmode", mode)
    for raising in (fails, lambda: exec("held = LEAK\\nraise ValueError(held)")):
        try:
            raising()
        except Exception:
            shell.showtraceback()
shell.run_line_magic("xmode", "Verbose")
"""

RESEARCH = """
from botlib.strategies import TrendCross
Named = type(ALL[0], (TrendCross,), {"__module__": "__main__"})
result = bot.backtest(TrendCross(timeframes=("1m",), fast=5, slow=12), "BTC/USDT")
result.report(out / "report.html")
result.chart(title=LEAK).screenshot(out / "chart.svg")
bot.sweep(TrendCross, "BTC/USDT", fast=[4, 5], slow=[12], timeframes=("1m",),
          directory=out / "sweep", progress=False, workers=1)
bot.export(out / "export")
bl.simulate(run_for="20m", symbols=["BTC/USDT"], timeframes=["1m"], history=30,
            log=out / "simulation.jsonl")
display(result)
"""

ENDS = "bot.stop()\nbot"
LAST = "held = ALL\nraise ValueError(LEAK)"


class Canary:
    """What a run with canaries left behind."""

    def __init__(self, folder: Path, done: subprocess.CompletedProcess[bytes]) -> None:
        self.folder = folder
        self.done = done

    def files(self, *patterns: str) -> list[Path]:
        """Return the files that match patterns below the folder."""
        return [one for each in patterns for one in self.folder.rglob(each) if one.is_file()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    folder = tmp_path_factory.mktemp("canary")
    (folder / ".env").write_text(f"BINANCE_API_SECRET={SECRET}\nBINANCE_DEMO_API_SECRET='{ODD}'\n")
    (folder / ".env").chmod(0o600)
    cells = (BEGIN, CONNECT, TASKS, *SHOWN, ANSWERS, SIGNED, MODES, RESEARCH, ENDS, LAST)
    notebook = write_notebook(folder / "canary.ipynb", *cells)
    environment = {**os.environ, "BOTLIB_HOME": str(folder / "home"), "BINANCE_API_KEY": KEY}
    environment.pop("BINANCE_API_SECRET", None)
    done = subprocess.run(
        [sys.executable, "-m", "botlib", "run", str(notebook)],
        cwd=folder,
        env=environment,
        capture_output=True,
        umask=0,
        timeout=280,
    )
    yield Canary(folder, done)
    shutil.rmtree(folder)


def test_every_cell_but_the_last_ran(run: Canary) -> None:
    """Otherwise the artefacts that are searched would not be there."""
    [executed] = run.files("home/data/runs/**/*.ipynb")
    cells = json.loads(executed.read_text())["cells"]
    failed = [
        ("".join(cell["source"])[:60], output["ename"], output["evalue"][:300])
        for cell in cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "error"
        and not any(part in "".join(cell["source"]) for part in ("xmode", "held = ALL"))
    ]
    assert failed == [] and run.done.returncode == 1, run.done.stderr.decode()[-2_000:]
    assert "ValueError" in run.done.stderr.decode()
    assert executed.read_text().count("•••") > 100


ARTEFACTS = {
    "executed notebook": ("home/data/runs/**/*.ipynb",),
    "report of the run": ("home/data/runs/**/*.html",),
    "logs": ("home/data/logs/*",),
    "database": ("home/data/paper/*.db", "home/data/paper/*-wal"),
    "ledger": ("home/data/paper/*.ledger.db*",),
    "market list": ("home/data/paper/*.markets.json",),
    "candle cache": ("home/data/paper/*.cache/**/*",),
    "answers of the health page": ("written/answers.json",),
    "report of a backtest": ("written/report.html",),
    "picture of a chart": ("written/chart.svg",),
    "record of a sweep": ("written/sweep/*.sweep",),
    "export": ("written/export/**/*.parquet",),
    "log of a simulation": ("written/simulation.jsonl",),
}


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_no_piece_of_a_key_is_in_a_file(run: Canary, artefact: str) -> None:
    files = run.files(*ARTEFACTS[artefact])
    if artefact in ("candle cache",) and not files:
        pytest.skip("this run wrote no candle cache")
    assert files, sorted(str(one.relative_to(run.folder)) for one in run.folder.rglob("*"))[:80]
    found = {str(one): seen(one.read_bytes()) for one in files}
    assert {name: canaries for name, canaries in found.items() if canaries} == {}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_no_piece_of_a_key_is_in_the_output_of_a_run(run: Canary, stream: str) -> None:
    assert seen(getattr(run.done, stream)) == []


def test_no_piece_of_a_key_is_in_any_other_file_or_name(run: Canary) -> None:
    for path in run.folder.rglob("*"):
        assert seen(str(path.relative_to(run.folder)).encode()) == []
        if path.is_file() and path.name != ".env":
            assert seen(path.read_bytes()) == [], path


def test_whatever_the_umask_all_that_the_kit_wrote_is_its_owners_alone(run: Canary) -> None:
    """The run had the umask 0, with which every file is open to all."""
    open_files: list[str] = []
    for path in run.folder.rglob("*"):
        by_the_notebook = path.parent == run.folder or path.name in ("answers.json", "written")
        if by_the_notebook or path.is_symlink():
            continue
        allowed = 0o700 if path.is_dir() else 0o600
        if stat.S_IMODE(path.stat().st_mode) != allowed:
            mode = oct(stat.S_IMODE(path.stat().st_mode))
            open_files.append(f"{path.relative_to(run.folder)} {mode}")
    assert open_files == []


PROGRAM = f"""
{BEGIN}
{CONNECT}
async def leaky():
    raise ValueError(LEAK)
bot.task(interval=0.05, name="leaky")(leaky)
time.sleep(1)
for one in (bot, bot.tasks, bot.tasks.status(), bot.status(), bot.health(), bot.halts):
    print(one, repr(one), getattr(one, "_repr_html_", str)())
bot.kill(LEAK)
print(bot.halts.to_string(), bot.health().to_dict())
bot.stop()
from botlib.core.errors import EngineError
raise EngineError(LEAK)
"""


def test_no_piece_of_a_key_is_in_the_output_of_a_program(tmp_path: Path) -> None:
    """The same outside of a kernel, where nothing masks what leaves the process but the kit."""
    (tmp_path / ".env").write_text(
        f"BINANCE_API_SECRET={SECRET}\nBINANCE_DEMO_API_SECRET='{ODD}'\n"
    )
    (tmp_path / ".env").chmod(0o600)
    environment = {**os.environ, "BOTLIB_HOME": str(tmp_path / "home"), "BINANCE_API_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=200,
    )
    assert b"EngineError" in done.stderr and b"leaky" in done.stdout, done.stderr.decode()[-2_000:]
    assert seen(done.stdout) == seen(done.stderr) == []


def test_the_search_finds_what_it_should() -> None:
    for name, secret in CANARIES.items():
        for text in (
            secret,
            f"x{secret[3:11]}y",
            base64.b64encode(f"user:{secret}".encode()).decode(),
            base64.urlsafe_b64encode(f"u{secret}".encode()).decode(),
            secret.encode().hex(),
            secret.encode().hex().upper(),
        ):
            assert seen(text.encode()) == [name]
        assert seen(secret[:7].encode()) == []
