"""A seeded sample of the soak: the same parts as the certificate, in small sizes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from botlib.engine import watching
from botlib.execution import ledger
from botlib.paper.accounts import archive, record_cache, snapshots
from botlib.paper.market.trades import tape
from botlib.trading import positions
from tests.soak import certificate, days, fuzz, real, virtual
from tests.soak.__main__ import options
from tests.soak.certificate import Part
from tests.support.planted_bugs import BUGS

SCENARIO = "entry and exit"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: every fault is an error of its own."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def check(part: Part) -> None:
    """Assert that a part holds; show it if it does not."""
    assert part.ok, "\n".join(part.lines())


def test_a_crash_before_and_after_every_write_and_request_is_survived() -> None:
    check(virtual.crashes([SCENARIO]))


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_drawn_faults_and_crashes_are_survived(first: int) -> None:
    check(virtual.schedules(100, first))


def test_each_fault_on_its_own_is_survived() -> None:
    check(virtual.hard_scenarios())


def test_a_full_disk_at_every_write_is_survived() -> None:
    check(virtual.full_disks([SCENARIO], stretches=(1, 5)))


def test_planted_bugs_are_caught() -> None:
    check(virtual.planted_bugs(8, seed=1))


def test_at_least_forty_bugs_are_planted_and_each_has_its_name() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 40


def test_a_real_bot_is_killed_and_stopped_at_random_moments() -> None:
    check(real.ended_bots(8, 2))


def test_faulty_days_leave_candles_and_books_exact_and_nothing_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Caches that are full after the first day, so that it is seen what grows beside them.
    for module, name in (
        (archive, "MAX_FINISHED_ORDERS"),
        (record_cache, "MAX_FINISHED"),
        (snapshots, "MAX_CHANGES"),
        (tape, "_CANDLES"),
        (ledger, "KEPT"),
        (ledger, "SLACK"),
        (positions, "REMEMBERED_TRADES"),
        (watching, "KEPT_SIGNALS"),
    ):
        monkeypatch.setattr(module, name, 20)
    played = days.Days(4, Part("faulty days", did="4 days of 5 hours"), hours=5)
    played.play(seed=3)
    check(played.part)
    # Two days have 100 signals, nearly as many fills, more orders, and 3,000 candles.
    _, before, _, after = played.records
    assert {kind: n for kind, n in (after - before).items() if n > 25} == {}
    _, before, _, after = played.blocks
    assert after - before < 1_000, "\n".join(played.table())


def test_drawn_requests_crash_and_fill_no_server() -> None:
    check(fuzz.fuzzed_servers(1_200, seed=1))


def test_drawn_files_crash_and_fill_no_reader() -> None:
    check(fuzz.fuzzed_files(800, seed=1))


def test_trading_resumes_by_itself_after_an_outage() -> None:
    check(days.outages())


def test_the_certificate_says_what_fails_and_how_to_repeat_it() -> None:
    part = Part("a part", did="2 cases")
    part.count("seed 1", [])
    part.count("seed 2", ["I1 bought twice"])
    text = certificate.certificate([part])
    assert "FAILS  a part" in text and "violated: seed 2: I1 bought twice" in text
    assert "1 of 2 survived" in text and "0 of 1 parts hold" in text


def test_a_part_that_did_nothing_does_not_hold() -> None:
    assert not Part("nothing").ok


def test_the_sample_is_small_and_the_whole_is_what_is_certified() -> None:
    whole, sample = options([]), options(["--sample"])
    assert (whole.schedules, whole.kills, whole.stops, whole.days) == (10_000, 500, 200, 30)
    assert whole.fuzz == 100_000 and whole.bugs is None and sample.kills + sample.stops == 10
