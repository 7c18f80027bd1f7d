"""A headless run with canaries in the environment and in `.env`, and what it left behind."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import canary_cells as cells
from tests.support.canaries import KEY, ODD, SECRET
from tests.support.notebooks import write_notebook

CELLS = (
    cells.BEGIN, cells.CONNECT, cells.LEAKS, *cells.SHOWN, cells.DIRECT, cells.ANSWERS, cells.LIVE,
    cells.SIGNED, *(cells.MODE.format(mode=mode) for mode in cells.MODES), cells.ERRORS,
    cells.RESEARCH, cells.NOTES, cells.ENDS, cells.LAST,
)  # fmt: skip

FILES = {
    "executed notebook": ("home/data/runs/**/*.ipynb",),
    "report of the run": ("home/data/runs/**/*.html",),
    "logs": ("home/data/logs/*",),
    "database and journal": ("home/data/paper/*.db", "home/data/paper/*-wal"),
    "experiment book": ("home/data/experiments/*",),
    "answers of the health page": ("written/answers.txt",),
    "report of a backtest": ("written/*.html",),
    "events of a simulation": ("written/simulation.jsonl",),
    "pictures": ("written/*.svg",),
}
"""Patterns of the files of an artefact, into which keys are let."""

CLOSED = {
    "ledger of the paper exchange": ("home/data/paper/*.ledger.db*",),
    "market list": ("home/data/paper/*.markets.json",),
    "candle export": ("written/export/**/*.parquet",),
    "record of a sweep": ("written/sweep/*.sweep",),
}
"""The same of artefacts that hold figures only, so that nothing of a bot's texts reaches them."""

REST = "every other file, and every name of a file"

UNMASKED = """
import botlib.core.text.masking as masking
masking.Masker._add = lambda *arguments: None
"""
"""What Python runs at its start in every process of a run whose masking is switched off."""


@dataclass
class Canary:
    """What a run with canaries left behind."""

    folder: Path
    out: bytes
    error: bytes
    code: int

    def files(self, *patterns: str) -> list[Path]:
        """Return the files that match patterns below the folder."""
        return [one for each in patterns for one in self.folder.rglob(each) if one.is_file()]

    def executed(self) -> list[dict[str, Any]]:
        """Return the cells of the executed notebook."""
        [notebook] = self.files("home/data/runs/**/*.ipynb")
        found: list[dict[str, Any]] = json.loads(notebook.read_text())["cells"]
        return found

    @functools.cached_property
    def artefacts(self) -> dict[str, bytes]:
        """The bytes of every artefact by its name."""
        searched = set(self.files(".env"))
        found = {"output of the command": self.out, "error output of the command": self.error}
        for name, patterns in {**FILES, **CLOSED}.items():
            files = self.files(*patterns)
            if name == "database and journal":
                files = [one for one in files if ".ledger." not in one.name]
            found[name] = b"\n".join(content(one) for one in files)
            searched.update(files)
        for path in self.files("written/*.txt"):
            if path.name != "answers.txt":
                found[path.stem] = path.read_bytes()
                searched.add(path)
        for cell in self.executed():
            source = "".join(cell["source"])
            if mode := re.search(r"^mode = '(\w+)'", source, re.M):
                text = json.dumps(cell["outputs"], ensure_ascii=False)
                found[f"traceback, mode {mode[1]}"] = text.encode()
        names = "\n".join(str(one) for one in self.folder.rglob("*"))
        rest = [content(one) for one in self.files("*") if one not in searched]
        found[REST] = b"\n".join([*rest, names.encode()])
        return found


def content(path: Path) -> bytes:
    """Return the bytes of a file, unpacked as well if it is packed."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        return raw + gzip.decompress(raw)
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return raw + str(pyarrow.parquet.read_table(path).to_pydict()).encode()
    if path.suffix in (".ipynb", ".html", ".txt", ".db"):
        return raw + b"".join(pictures(raw))
    return raw


def pictures(raw: bytes) -> Iterator[bytes]:
    """Yield the pictures that stand in a text in base64."""
    for found in re.finditer(rb"base64,([A-Za-z0-9+/=]{40,})", raw):
        yield base64.b64decode(found[1] + b"==")


def start(folder: Path, *, masking: bool = True) -> subprocess.Popen[bytes]:
    """Start the run in a folder.

    Args:
        masking: False switches masking off, to see that keys would be found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".env").write_text(f"BINANCE_API_SECRET={SECRET}\nBINANCE_DEMO_API_SECRET='{ODD}'\n")
    (folder / ".env").chmod(0o600)
    notebook = write_notebook(folder / "canary.ipynb", *CELLS)
    environment = {**os.environ, "BOTLIB_HOME": str(folder / "home"), "BINANCE_API_KEY": KEY}
    environment.pop("BINANCE_API_SECRET", None)
    if not masking:
        (folder / "off").mkdir()
        (folder / "off" / "sitecustomize.py").write_text(UNMASKED)
        paths = (str(folder / "off"), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with (folder / "out").open("wb") as out, (folder / "error").open("wb") as error:
        return subprocess.Popen(
            [sys.executable, "-m", "botlib", "run", str(notebook)],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=error,
            umask=0,
        )


def ended(folder: Path, run: subprocess.Popen[bytes], limit: float = 280) -> Canary:
    """Wait for the end of a run, and return what it left behind."""
    try:
        code = run.wait(limit)
    finally:
        run.kill()
    out, error = (folder / name for name in ("out", "error"))
    made = Canary(folder, out.read_bytes(), error.read_bytes(), code)
    out.unlink()
    error.unlink()
    return made
