"""Fixtures: real kernels and processes for the runtime."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from jupyter_client.manager import start_new_kernel

from tests.support.kernels import ROOT, Kernel, KernelFactory, ProgramFactory


@pytest.fixture
def new_kernel() -> Iterator[KernelFactory]:
    """Yield a function that starts kernels, which the test may kill."""
    with ExitStack() as stack:

        def start() -> Kernel:
            manager, client = start_new_kernel(cwd=str(ROOT))
            stack.callback(manager.shutdown_kernel, now=True)
            stack.callback(client.stop_channels)
            return Kernel(manager, client)

        yield start


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """Yield a kernel with a runtime ``rt``, shared by the tests of a module."""
    manager, client = start_new_kernel(cwd=str(ROOT))
    shared = Kernel(manager, client)
    try:
        shared.ok("import asyncio, threading, time\nfrom botlib.runtime import get_runtime")
        shared.ok("rt = get_runtime()")
        yield shared
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def program() -> Iterator[ProgramFactory]:
    """Yield a function that starts Python programs; they are killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-u", "-c", textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
