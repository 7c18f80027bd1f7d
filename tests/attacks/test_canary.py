"""Canary keys, in the environment and in `.env`: no artefact of the kit holds a piece of them.

A headless run holds them in memory, and lets them into errors, log lines, names, reasons and
outputs in every encoding. Whatever is written, printed, answered or shown is then searched. The
same run with masking switched off shows that the search would find them, in every artefact.
"""

from __future__ import annotations

import base64
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from botlib.cli import main
from botlib.core.text.masking import forget
from tests.support import canary_cells as cells
from tests.support.canaries import CANARIES, KEY, ODD, SECRET, seen
from tests.support.canary_run import CLOSED, Canary, ended, start

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Canary, Canary]]:
    """The same run twice at a time: as users have it, and with masking switched off."""
    folder = tmp_path_factory.mktemp("canary")
    started = [start(folder / name, masking=name == "on") for name in ("on", "off")]
    on, off = (ended(folder / name, run) for name, run in zip(("on", "off"), started, strict=True))
    yield on, off
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def run(runs: tuple[Canary, Canary]) -> Canary:
    return runs[0]


def test_every_cell_ran_and_only_errors_that_were_wanted_came(
    runs: tuple[Canary, Canary],
) -> None:
    """Otherwise the artefacts that are searched would not be there."""
    for each in runs:
        failed = [
            ("".join(cell["source"])[:60], output["ename"], output["evalue"][:300])
            for cell in each.executed()
            for output in cell.get("outputs", ())
            if output["output_type"] == "error"
            and not any(part in "".join(cell["source"]) for part in ("xmode", "held = ALL\nraise"))
        ]
        assert failed == [] and each.code == 1, each.error.decode()[-2_000:]
        modes = [name for name in each.artefacts if name.startswith("traceback, mode")]
        assert len(modes) == len(cells.MODES)


def test_no_piece_of_a_key_is_in_any_artefact(run: Canary) -> None:
    artefacts = run.artefacts
    assert all(artefacts.values()), [name for name, found in artefacts.items() if not found]
    assert {name: seen(found) for name, found in artefacts.items() if seen(found)} == {}


def test_without_masking_keys_are_found_in_every_artefact(runs: tuple[Canary, Canary]) -> None:
    """Those are named that hold figures only."""
    on, off = (run.artefacts for run in runs)
    assert on.keys() == off.keys()
    assert {name for name, found in off.items() if not seen(found)} == set(CLOSED)


def test_whatever_the_umask_all_that_the_kit_wrote_is_its_owners_alone(run: Canary) -> None:
    """The run had the umask 0, with which every file is open to all."""
    open_files: list[str] = []
    for path in run.folder.rglob("*"):
        by_the_notebook = path.parent == run.folder or path.name == "written"
        if (
            by_the_notebook
            or path.suffix == ".txt"
            or path.name == "picture.svg"
            or path.is_symlink()
        ):
            continue
        allowed = 0o700 if path.is_dir() else 0o600
        if stat.S_IMODE(path.stat().st_mode) != allowed:
            mode = oct(stat.S_IMODE(path.stat().st_mode))
            open_files.append(f"{path.relative_to(run.folder)} {mode}")
    assert open_files == []


PROGRAM = f"""
{cells.BEGIN}
{cells.CONNECT}
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


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "{}.ipynb"),
        ("run", "x.ipynb", "-p", "NAME", "{}"),
        ("run", "x.ipynb", "-p", "{}"),
        ("simulate", "--seed", "{}"),
        ("simulate", "{}"),
        ("paper", "--symbols", "{}"),
        ("paper", "--speed", "{}"),
        ("config", "{}"),
        ("data", "{}"),
        ("watch", "--for", "{}"),
        ("{}",),
        ("--{}",),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_no_command_repeats_a_key_that_it_was_given(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    try:
        done = CliRunner().invoke(main, [one.format(KEY) for one in arguments])
    finally:
        forget(KEY)
    assert done.exit_code not in (0, None) and seen(done.output.encode()) == []


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
