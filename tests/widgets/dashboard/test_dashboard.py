"""The dashboard in the kernel: its messages, the requests of a page, and its static picture."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput
from botlib.venues.kinds import KINDS
from botlib.widgets import pictures
from botlib.widgets.dashboard import Dashboard, DashboardState, Reply, delta
from botlib.widgets.dashboard import dashboard as module
from botlib.widgets.dashboard.dashboard import WIDGET_VIEW
from botlib.widgets.dashboard.schema import DashboardChanges
from tests.support.chart_page import Shown, Wire
from tests.support.dashboard_state import state

EVIL = "<img src=x onerror=alert(1)>"


class Bench:
    """A dashboard shown to a front end, with the requests it received and the messages it sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.replies: list[Reply] = []
        self.dashboard = Dashboard(state(), self.act)

    def act(self, action: str, target: str, reply: Reply) -> None:
        self.requests.append((action, target))
        self.replies.append(reply)

    def show(self) -> Wire:
        self.dashboard._ipython_display_()
        assert self.dashboard.widget is not None
        wire = self.dashboard.widget.comm
        assert isinstance(wire, Wire)
        return wire

    def say(self, message: Any) -> None:
        assert self.dashboard.widget is not None
        self.dashboard.widget._handle_custom_msg(message, [])


@pytest.fixture
def bench(live: Shown) -> Bench:
    return Bench()


def messages(wire: Wire) -> list[dict[str, Any]]:
    return [data["content"] for _, data, _ in wire.log if data.get("method") == "custom"]


def applied(before: dict[str, Any], changes: DashboardChanges) -> dict[str, Any]:
    """Return the state of a page after changes."""
    after: dict[str, Any] = {}
    for name, section in before.items():
        change = changes.get(name, {})
        if "rows" not in section:
            after[name] = {**section, **change}
            continue
        order = change.get("order", section["order"])
        rows = change.get("rows", {})
        after[name] = {
            "order": order,
            "rows": {key: {**section["rows"].get(key, {}), **rows.get(key, {})} for key in order},
        }
    return after


_ROWS = st.dictionaries(
    st.sampled_from("abcd"), st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.text("ab")})
)


@given(before=_ROWS, after=_ROWS, values=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_changes_turn_one_state_into_the_other(
    before: dict[str, Any], after: dict[str, Any], values: tuple[int, int]
) -> None:
    states: list[dict[str, Any]] = [
        {"head": {"v": value}, "tasks": {"order": sorted(rows, reverse=value > 0), "rows": rows}}
        for rows, value in zip((before, after), values, strict=True)
    ]
    changes = delta(*states)
    assert applied(states[0], changes) == states[1]
    assert delta(states[1], states[1]) == {}


def test_the_widget_holds_the_state(bench: Bench, live: Shown) -> None:
    bench.dashboard.publish(state(head__now=5_000))
    wire = bench.show()
    kind, opened, _ = wire.log[0]
    assert kind == "comm_open"
    assert opened["state"]["snapshot"] == {"seq": 1, "state": state(head__now=5_000)}
    assert messages(wire) == []
    (_, _, view), (_, _, picture) = live
    assert view[WIDGET_VIEW]["model_id"] == wire.comm_id
    # Saved in the notebook, and hidden in the page by this name.
    assert bench.dashboard.widget is not None
    assert bench.dashboard.widget.still in picture["text/html"]


def test_only_changes_are_sent(bench: Bench) -> None:
    wire = bench.show()
    for _ in range(3):
        bench.dashboard.publish(state())
    bench.dashboard.publish(state(task__runs=2, loop__lag=0.5))
    assert messages(wire) == [
        {
            "type": "delta",
            "seq": 1,
            "changes": {"loop": {"lag": 0.5}, "tasks": {"rows": {"watch": {"runs": 2}}}},
        }
    ]


def test_a_page_that_missed_a_message_receives_the_whole_state(
    bench: Bench,
) -> None:
    wire = bench.show()
    bench.say({"type": "ready", "seq": 0})
    assert messages(wire) == []
    bench.dashboard.publish(state(loop__lag=0.5))
    bench.say({"type": "ready", "seq": 0})
    bench.say({"type": "resync", "seq": 1})
    sent = messages(wire)
    assert [message["type"] for message in sent] == ["delta", "whole", "whole"]
    assert sent[-1]["state"] == state(loop__lag=0.5)
    bench.dashboard.publish(state(loop__lag=0.7))
    assert [message["seq"] for message in messages(wire)] == [1, 2, 3, 4]


def test_a_reloaded_page_receives_the_newest_state(bench: Bench) -> None:
    bench.show()
    bench.dashboard.publish(state(task__runs=7))
    assert bench.dashboard.widget is not None
    snapshot = bench.dashboard.widget.get_state()["snapshot"]
    assert snapshot == {"seq": 1, "state": state(task__runs=7)}


def test_the_whole_state_is_sent_periodically(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = bench.show()
    monkeypatch.setattr(module, "WHOLE_EVERY", 0.0)
    bench.dashboard.publish(state())
    assert [message["type"] for message in messages(wire)] == ["whole"]


def test_messages_of_several_threads_are_an_unbroken_sequence(bench: Bench) -> None:
    wire = bench.show()

    def publish(first: int) -> None:
        for runs in range(first, first + 50):
            bench.dashboard.publish(state(task__runs=runs))

    def ask() -> None:
        for _ in range(50):
            bench.say({"type": "resync"})

    threads = [threading.Thread(target=publish, args=(number * 1_000,)) for number in (1, 2, 3)]
    threads.append(threading.Thread(target=ask))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = messages(wire)
    assert [message["seq"] for message in sent] == list(range(1, 201))
    page = state()
    for message in sent:
        if message["type"] == "whole":
            assert message["state"] == page
        else:
            page = applied(page, message["changes"])


def test_a_request_is_acknowledged_at_once_and_answered_when_it_is_done(bench: Bench) -> None:
    wire = bench.show()
    bench.say({"type": "act", "id": "v-1", "action": "stop", "target": "watch"})
    assert bench.requests == [("stop", "watch")]
    assert messages(wire) == [{"type": "taken", "id": "v-1"}]
    bench.say({"type": "act", "id": "v-1", "action": "stop", "target": "watch"})  # repeated
    assert len(bench.requests) == 1
    bench.replies[0](False, "stuck")
    assert messages(wire)[-1] == {"type": "done", "id": "v-1", "ok": False, "text": "stuck"}


def test_a_lost_answer_is_repeated_and_nothing_is_done_twice(bench: Bench) -> None:
    wire = bench.show()
    act = {"type": "act", "id": "v-1", "action": "run", "target": "watch"}
    taken = {"type": "taken", "id": "v-1"}
    done = {"type": "done", "id": "v-1", "ok": True, "text": "watch has run"}
    bench.say(act)
    bench.say({"type": "ask", "id": "v-1"})
    bench.replies[0](True, "watch has run")
    bench.say({"type": "ask", "id": "v-1"})
    bench.say(act)
    assert messages(wire) == [taken, taken, done, taken, done, taken, done]
    assert bench.requests == [("run", "watch")]
    bench.say({"type": "ask", "id": "v-2"})
    answer = messages(wire)[-1]
    assert not answer["ok"] and "did not reach the kernel" in answer["text"]
    assert len(bench.requests) == 1


def test_the_number_of_remembered_requests_is_bounded(bench: Bench) -> None:
    bench.show()
    for number in range(2 * module.REMEMBERED):
        bench.say({"type": "act", "id": number, "action": "run", "target": "watch"})
        bench.replies[-1](True, "")
    assert len(bench.dashboard._requests) == module.REMEMBERED


@pytest.mark.parametrize(
    "message",
    [
        None, "act", {}, {"type": "act"}, {"type": "act", "id": 1}, {"type": 5},
        {"type": "act", "id": [1], "action": "stop", "target": "a"},
        {"type": "act", "id": 1, "action": "stop", "target": None},
        {"type": "ask"}, {"type": "ask", "id": {}},
    ],
)  # fmt: skip
def test_a_malformed_message_is_ignored(bench: Bench, message: Any) -> None:
    wire = bench.show()
    bench.say(message)
    assert bench.requests == [] and messages(wire) == []


@pytest.mark.parametrize("action", ["explode", "", None, ["kill"], "__class__"])
def test_an_unknown_action_is_refused(bench: Bench, action: Any) -> None:
    wire = bench.show()
    bench.say({"type": "act", "id": 1, "action": action, "target": ""})
    assert bench.requests == []
    (answer,) = messages(wire)
    assert not answer["ok"] and "no action" in answer["text"]


def test_an_action_that_raises_is_answered(bench: Bench) -> None:
    def broken(action: str, target: str, reply: Reply) -> None:
        raise RuntimeError("the runtime is closed")

    bench.dashboard._act = broken
    wire = bench.show()
    bench.say({"type": "act", "id": 1, "action": "kill", "target": ""})
    assert messages(wire)[-1]["text"] == "RuntimeError: the runtime is closed"


def test_all_views_share_one_model(bench: Bench, live: Shown) -> None:
    wires = {id(bench.show()) for _ in range(3)}
    assert len(wires) == 1 and len(live) == 6
    bench.dashboard.height = 700
    assert bench.dashboard.widget is not None and bench.dashboard.widget.height == 700
    with pytest.raises(InvalidInput, match="200 to 4000"):
        bench.dashboard.height = 10


def test_states_after_the_last_one_are_ignored(bench: Bench, live: Shown) -> None:
    wire = bench.show()
    bench.dashboard.publish(state(head__running=False), last=True)
    bench.dashboard.publish(state(head__running=True))
    assert bench.dashboard.closed
    assert len(messages(wire)) == 1
    kind, _, bundle = live[-1]
    assert kind == "update" and "stopped" in bundle["text/plain"]


def test_a_headless_notebook_gets_a_picture_that_is_updated_in_place(
    headless: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    bench.dashboard._ipython_display_()
    bench.dashboard.publish(state(task__runs=2))
    assert len(headless) == 1  # not yet
    monkeypatch.setattr(pictures, "ALONE_EVERY", 0.0)
    bench.dashboard.publish(state(task__runs=3))
    bench.dashboard.publish(state(task__runs=3))  # unchanged, so not drawn
    bench.dashboard.publish(state(task__runs=4), last=True)
    assert [kind for kind, _, _ in headless] == ["display", "update", "update"]
    assert len({name for _, name, _ in headless}) == 1
    assert all(set(bundle) == {"text/plain", "text/html"} for _, _, bundle in headless)
    assert bench.dashboard.widget is None
    cells = [cell.text for cell in BeautifulSoup(headless[-1][2]["text/html"], "html.parser")("td")]
    assert "4" in cells


def test_the_picture_escapes_texts_shows_errors_and_is_small(headless: Shown) -> None:
    made = state(
        task__name=EVIL, task__error=EVIL, task__failures=1, task__health="bad",
        risk__halted=f"kill switch, http: {EVIL}", head__healthy=False, head__reasons=[EVIL],
        head__mode="live", head__words=KINDS["live"].words, head__venue="binance",
    )  # fmt: skip
    html = Dashboard(made, lambda *_: None)._repr_html_()
    assert "<img src=x" not in html
    text = BeautifulSoup(html, "html.parser").text
    assert text.count(EVIL) == 4
    assert "LIVE" in text and "Entries are stopped" in text and "synthetic" not in text
    assert len(html) < 20_000


def test_the_changes_of_twenty_tasks_are_a_small_message() -> None:
    row = state()["tasks"]["rows"]["watch"]
    names = [f"task {number}" for number in range(20)]

    def many(tick: int) -> DashboardState:
        rows = {name: {**row, "name": name, "runs": tick, "last": tick * 50} for name in names}
        return {**state(head__now=tick), "tasks": {"order": names, "rows": rows}}

    assert len(json.dumps(delta(many(1), many(2)))) < 1_000
