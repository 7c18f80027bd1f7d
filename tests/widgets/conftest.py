"""The front end of a notebook, without a notebook."""

from __future__ import annotations

from typing import Any

import IPython.display
import ipywidgets.widgets.widget
import pytest

from tests.support.chart_page import Shown, Wire


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Return the list of displays: ``display`` or ``update``, the display's id, the bundle."""
    found: Shown = []

    def note(kind: str) -> Any:
        return lambda bundle, *, raw, display_id: found.append((kind, display_id, bundle))

    monkeypatch.setattr(IPython.display, "display", note("display"))
    monkeypatch.setattr(IPython.display, "update_display", note("update"))
    return found


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch, shown: Shown) -> Shown:
    """Return `shown` with a live front end; the comms of widgets record their messages."""
    monkeypatch.setenv("BOTLIB_WIDGETS", "live")
    monkeypatch.setattr(ipywidgets.widgets.widget.comm, "create_comm", lambda **keys: Wire(**keys))
    return shown


@pytest.fixture
def headless(monkeypatch: pytest.MonkeyPatch, shown: Shown) -> Shown:
    """Return `shown` in a headless notebook."""
    monkeypatch.setenv("BOTLIB_WIDGETS", "static")
    return shown
