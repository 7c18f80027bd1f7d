"""A Jupyter server, and notebooks opened in it by a real browser.

What is waited for is a state of the page or the kernel, never a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nbformat
import psutil
import pytest
from playwright.async_api import Browser, Error, Locator, Page, async_playwright

IN_BROWSER: Final = [
    pytest.mark.browser,
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),
]
"""Marks of every test here: one loop drives the browser."""

CHART: Final = '.botlib-chart[data-ready="1"]'
DASHBOARD: Final = '.bl-dash[data-ready="1"]'

PATIENCE: Final = 120.0
"""Seconds until a wait fails; a loaded machine is slow."""

TOKEN: Final = "token-of-the-tests"
SIZE: Final = {"width": 1400, "height": 1000}
LIGHT: Final = "JupyterLab Light"
DARK: Final = "JupyterLab Dark"

SETTINGS: Final = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
"""Settings of JupyterLab: no dialogs, and no automatic saving during a test."""

_RUN: Final = """([source, text]) => {
    const notebook = jupyterapp.shell.currentWidget.content;
    const shared = notebook.model.sharedModel;
    const last = notebook.model.cells.length - 1;
    const empty = last >= 0 && notebook.model.cells.get(last).sharedModel.getSource() === '';
    const place = empty ? last : last + 1;
    if (empty) notebook.model.cells.get(last).sharedModel.setSource(source);
    else shared.insertCell(place, {cell_type: 'code', source});
    notebook.activeCellIndex = place;
    notebook.deselectAll();
    jupyterapp.commands.execute('notebook:run-cell');
    return place;
}"""
_AGAIN: Final = """(place) => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.model.cells.get(place).executionCount = null;
    notebook.activeCellIndex = place;
    notebook.deselectAll();
    jupyterapp.commands.execute('notebook:run-cell');
}"""
_ENDED: Final = """(place) => {
    const cell = jupyterapp.shell.currentWidget.content.model.cells.get(place);
    return cell.executionCount !== null && cell.executionState !== 'running';
}"""
_OUTPUTS: Final = """(place) =>
    jupyterapp.shell.currentWidget.content.model.cells.get(place).outputs.toJSON()"""
_NAME: Final = """(place) => {
    const widget = jupyterapp.shell.currentWidget.content.widgets[place];
    widget.node.dataset.place = place;
}"""
_READY: Final = """() =>
    window.jupyterapp?.shell.currentWidget?.content?.model?.cells.length > 0 &&
    window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === 'idle'"""


def chromium() -> str | None:
    """Return the path of Debian's Chromium; None if it is not installed."""
    return shutil.which("chromium")


class CellError(AssertionError):
    """An error that a cell raised."""


class Server:
    """JupyterLab and Notebook 7 on this machine, without the user's settings."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes], url: str) -> None:
        self.notebooks = root / "notebooks"
        self.home = root / "home"
        self.url = url
        self._root = root
        self._process = process

    @classmethod
    async def start(cls, root: Path, *options: str, **environment: str) -> Server:
        """Start a server that keeps all its files below a directory.

        Args:
            options: of the command line.
            environment: variables its kernels get.
        """
        for name in ("notebooks", "config", "data", "runtime", "ipython", "home"):
            (root / name).mkdir()
        unwanted = ("BOTLIB_WIDGETS", "BOTLIB_HEADLESS", "PYTEST_CURRENT_TEST")
        _configure(root / "config" / "lab" / "user-settings", SETTINGS)
        surroundings = {
            **{name: value for name, value in os.environ.items() if name not in unwanted},
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_DATA_DIR": str(root / "data"),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "IPYTHONDIR": str(root / "ipython"),
            "BOTLIB_HOME": str(root / "home"),
            **environment,
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={TOKEN}"),
            f"--ServerApp.root_dir={root / 'notebooks'}",
            "--expose-app-in-browser",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            *options,
        ]
        process = _spawn(command, surroundings, root / "server.log")
        try:
            return cls(root, process, await _address(root, process))
        except BaseException:
            _end(process)
            raise

    def stop(self) -> None:
        """Stop it with its kernels and their child processes."""
        _end(self._process)

    def notebook(self, name: str, cells: Sequence[str] = ()) -> str:
        """Write a notebook and return its name."""
        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells or [""]],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        nbformat.write(book, self.notebooks / name)
        return name


def _spawn(command: list[str], surroundings: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, env=surroundings, stdout=file, stderr=file)


def _configure(directory: Path, settings: dict[str, dict[str, Any]]) -> None:
    for plugin, values in settings.items():
        path = directory / f"{plugin.replace(':', '/')}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


async def _address(root: Path, process: subprocess.Popen[bytes]) -> str:
    """Return the address of a server, once it listens."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if process.poll() is not None:
                raise RuntimeError((root / "server.log").read_text())
            for path in (root / "runtime").glob("jpserver-*.json"):
                try:
                    facts = json.loads(path.read_text())
                except json.JSONDecodeError:
                    continue  # not complete yet
                return f"http://127.0.0.1:{facts['port']}"
            await asyncio.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, left = psutil.wait_procs(below, timeout=10)
    for one in left:
        one.kill()


class Notebook:
    """A notebook in a page of the browser."""

    def __init__(self, server: Server, page: Page, name: str) -> None:
        self.server = server
        self.page = page
        self.name = name
        self.errors: list[str] = []
        page.on("pageerror", self._note)
        page.set_default_timeout(PATIENCE * 1000)

    @property
    def path(self) -> Path:
        """The path of its file."""
        return self.server.notebooks / self.name

    def _note(self, error: Error) -> None:
        # Widgets are loaded from blobs; errors of other scripts are not botlib's.
        if "blob:" in (error.stack or ""):
            self.errors.append(f"{error}\n{error.stack}")

    @classmethod
    async def open(
        cls, server: Server, browser: Browser, name: str, *, app: str = "lab/tree"
    ) -> Notebook:
        """Open a notebook in JupyterLab, or with ``app="notebooks"`` in Notebook 7."""
        page = await browser.new_page(viewport=SIZE)
        notebook = cls(server, page, name)
        query = f"token={TOKEN}" + ("&reset" if app.startswith("lab") else "")
        await page.goto(f"{server.url}/{app}/{name}?{query}")
        await notebook.until(_READY)
        return notebook

    async def reload(self) -> None:
        """Reload the page; the kernel keeps running."""
        await self.page.reload()
        await self.until(
            "() => window.jupyterapp?.shell.currentWidget?.content?.model?.cells.length > 0 && "
            "window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel"
            "?.connectionStatus === 'connected'"
        )

    async def until(self, condition: str, value: Any = None) -> Any:
        """Wait until an expression of JavaScript is true, and return its value."""
        timeout = PATIENCE * 1000
        handle = await self.page.wait_for_function(
            condition, arg=value, timeout=timeout, polling=50
        )
        return await handle.json_value()

    async def begin(self, source: str) -> Cell:
        """Run a new cell without waiting for its end."""
        return Cell(self, await self.page.evaluate(_RUN, [source, None]))

    async def run(self, source: str) -> Cell:
        """Run a new cell to its end.

        Raises:
            CellError: it raised.
        """
        cell = await self.begin(source)
        await cell.end()
        return cell

    async def value(self, source: str) -> str:
        """Return the text of the last expression of a cell."""
        return await (await self.run(source)).text()

    async def theme(self, name: str) -> None:
        """Change the theme, as the settings menu does."""
        await self.page.evaluate(
            "(theme) => { jupyterapp.commands.execute('apputils:change-theme', {theme}); }", name
        )
        light = "true" if name == LIGHT else "false"
        await self.until(f"() => document.body.dataset.jpThemeLight === '{light}'")

    async def save(self) -> None:
        """Write the notebook to its file."""
        await self.page.evaluate("() => jupyterapp.shell.currentWidget.context.save()")

    async def close(self) -> None:
        """Close the page and end its kernel."""
        await self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        await self.page.close()


class Cell:
    """A code cell."""

    def __init__(self, notebook: Notebook, place: int) -> None:
        self.notebook = notebook
        self.place = place

    async def again(self) -> None:
        """Run it again to its end."""
        await self.notebook.page.evaluate(_AGAIN, self.place)
        await self.end()

    async def end(self) -> None:
        """Wait until it has ended.

        Raises:
            CellError: it raised.
        """
        await self.notebook.until(_ENDED, self.place)
        for output in await self.outputs():
            if output["output_type"] == "error":
                raise CellError("\n".join(output["traceback"]))

    async def ended(self) -> bool:
        """Return whether it has ended."""
        return bool(await self.notebook.page.evaluate(_ENDED, self.place))

    async def outputs(self) -> list[dict[str, Any]]:
        """Return its outputs."""
        found: list[dict[str, Any]] = await self.notebook.page.evaluate(_OUTPUTS, self.place)
        return found

    async def text(self) -> str:
        """Return the plain text of the last output."""
        data = (await self.outputs())[-1]["data"]["text/plain"]
        return data if isinstance(data, str) else "".join(data)

    async def locate(self, selector: str) -> Locator:
        """Return the elements of a selector in it."""
        await self.notebook.page.evaluate(_NAME, self.place)
        return self.notebook.page.locator(f'[data-place="{self.place}"] {selector}')


@asynccontextmanager
async def open_browser(executable: str) -> AsyncIterator[Browser]:
    """Start a browser without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            await browser.close()
