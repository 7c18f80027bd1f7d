"""The status of tasks: shown, compared and sent."""

from __future__ import annotations

import json
import threading

import pytest

from botlib.core.errors import UnknownTask
from botlib.tasks import BackgroundTaskManager, TaskConfig
from tests.support.task_behaviours import nothing


async def test_the_status_is_json_and_shown_as_text_and_html() -> None:
    manager = BackgroundTaskManager()
    for index in range(70):
        manager.add_task(TaskConfig(name=f"<b>{index}", func=nothing, interval="30s"), group="g")
    await manager.start_all("g")
    status = manager.status()
    sent = json.loads(json.dumps(status.as_dict()))
    assert sent["tasks"][0]["name"] == "<b>0" and sent["tasks"][0]["state"] == "waiting"
    assert sent["health"] == {"ok": True, "reasons": [], "warnings": []}
    lock = threading.Lock()  # a value of the user, which must not be copied
    manager.add_task(TaskConfig(name="other", func=nothing, metadata={"lock": lock}))
    assert manager.status().as_dict()["tasks"][-1]["metadata"] == {"lock": lock}
    text = str(status)
    assert text.splitlines()[0] == "70 tasks, 70 running, healthy"
    assert text.splitlines()[-1] == "… and 10 more"
    assert repr(status) == "<ManagerStatus 70 tasks, 70 running, healthy>"
    assert "overruns" not in text and "every 30 s" in text
    assert "&lt;b&gt;0" in status._repr_html_() and "<b>0" not in status._repr_html_()
    with pytest.raises(UnknownTask):
        status["nobody"]
    await manager.stop_all()
