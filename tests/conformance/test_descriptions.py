"""Requests that schemathesis generates from the two OpenAPI documents of the kit.

They go to a real bot and to its paper exchange. Nothing may be answered with 5xx, nor otherwise
than the document says.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from requests.adapters import HTTPAdapter
from schemathesis import GenerationMode, checks

from botlib.control import TOKEN_HEADER
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET
from tests.support.attacked_bot import AttackedBot, attacked_bot

SYMBOL = "BTCUSDT"
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedBot]:
    with attacked_bot(tmp_path_factory.mktemp("described")) as made:
        yield made


class From(HTTPAdapter):
    """An adapter that sends from its own network address, to which request weights are charged."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


def sent(operation: Any, mode: GenerationMode, examples: int, check: Callable[[Any], None]) -> None:
    """Generate requests of an operation, good or bad ones, and check each."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def checked(case: Any) -> None:
        check(case)

    # There are no bad requests of an operation that takes nothing.
    with contextlib.suppress(Unsatisfiable):
        checked()


def examined(
    url: str, examples: int, prepare: Callable[[Any], None], *, unwell: str = ""
) -> set[int]:
    """Send generated requests to every operation, and return the statuses of the answers.

    Args:
        examples: good and bad requests per operation.
        prepare: completes a request of a secured operation.
        unwell: the path whose answer may be 503, as its document says.
    """
    answered: set[int] = set()
    found = schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations()
    for number, one in enumerate(found):
        with requests.Session() as http:
            http.mount("http://", From(f"127.0.1.{number + 1}"))
            check = functools.partial(answer, one.ok(), http, prepare, unwell, answered)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                sent(one.ok(), mode, examples, check)
    return answered


def answer(
    operation: Any,
    http: requests.Session,
    prepare: Callable[[Any], None],
    unwell: str,
    answered: set[int],
    case: Any,
) -> None:
    """Send a request and check its answer."""
    if operation.definition.raw.get("security"):
        prepare(case)
    response = case.call(session=http, timeout=60)
    answered.add(response.status_code)
    described = operation.path == unwell and response.status_code == 503
    case.validate_response(response, checks=CHECKS[1:] if described else CHECKS)


def test_the_health_page_answers_as_its_document_says(bot: AttackedBot) -> None:
    token = bot.token_file.read_text().strip()

    def prepare(case: Any) -> None:
        case.headers = {**(case.headers or {}), TOKEN_HEADER: token}

    answered = examined(bot.url, 20, prepare, unwell="/health")
    assert {200, 400} <= answered <= {200, 400, 401, 403, 405, 413, 503}
    assert bot.ask("/health")[0] in (200, 503)


def test_the_paper_exchange_answers_as_its_document_says(bot: AttackedBot) -> None:
    """Signed operations are signed, so that generated parameters reach them."""

    def prepare(case: Any) -> None:
        query = dict(case.query or {})
        if isinstance(query.get("symbol"), str) and len(query["symbol"]) % 4:
            query["symbol"] = SYMBOL
        query.pop("signature", None)
        query.update(timestamp=time.time_ns() // 1_000_000, recvWindow=60_000)
        digest = hmac.new(PAPER_API_SECRET.encode(), urlencode(query).encode(), hashlib.sha256)
        case.query = {**query, "signature": digest.hexdigest()}
        case.headers = {**(case.headers or {}), "X-MBX-APIKEY": PAPER_API_KEY}

    answered = examined(bot.paper, 3, prepare)
    assert 200 in answered and not answered & {418, 429}
    books = requests.post(f"{bot.paper}/paper/v1/books", json={}, timeout=60).json()
    assert books and all(float(one["imbalance"]) == 0 for one in books.values())
