"""One Jupyter server and one browser for every test here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.frontend import Server, chromium, open_browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return a browser, or skip the test if there is none."""
    executable = chromium()
    if executable is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with open_browser(executable) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """Return a running Jupyter server."""
    found = await Server.start(tmp_path_factory.mktemp("jupyter"))
    yield found
    found.stop()
