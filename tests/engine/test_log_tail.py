"""The newest lines of the log: bounded, on one line each, with secrets masked."""

from __future__ import annotations

import logging

import pytest

from botlib.config.secrets import MASK, Secret
from botlib.engine.log_tail import LogTail


def test_the_newest_lines_are_kept_with_secrets_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", "canary-0123456789")
    tail = LogTail(lines=3)
    Secret.from_environment("CANARY_KEY")
    log = logging.Logger("botlib.somewhere")
    log.addHandler(tail)
    log.info("first")
    log.debug("not shown")
    log.warning("key %s and\nmore", "canary-0123456789")
    try:
        raise ValueError("canary-0123456789")
    except ValueError:
        log.exception("failed")
    log.info("x" * 2_000)
    lines = tail.tail()
    assert [line.number for line in lines] == [2, 3, 4]
    assert lines[0].text == f"key {MASK} and more" and lines[0].name == "somewhere"
    assert lines[1].text == f"failed (ValueError: {MASK})"
    assert len(lines[2].text) == 500
    log.info("%d", "no number")
    assert "do not fit" in tail.tail()[-1].text
