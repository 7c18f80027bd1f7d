"""schemathesis on the paper exchange: requests generated from its OpenAPI document.

Requests of signed operations are signed, so that generated parameters reach the operations.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests.adapters import HTTPAdapter
from schemathesis import checks
from session import SYMBOL, Session

EXAMPLES = 15
"""Generated requests per operation."""

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


class From(HTTPAdapter):
    """An adapter that sends from its own network address, to which request weights are charged."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


def aim(case: Any) -> None:
    """Use a listed symbol in three of four requests."""
    symbol = (case.query or {}).get("symbol")
    if isinstance(symbol, str) and len(symbol) % 4:
        case.query = {**case.query, "symbol": SYMBOL}


def sign(session: Session, case: Any) -> None:
    """Add a timestamp and a signature to a generated request."""
    query = dict(case.query or {})
    query.pop("signature", None)
    query.update(timestamp=time.time_ns() // 1_000_000, recvWindow=60_000)
    signature = hmac.new(session.secret.encode(), urlencode(query).encode(), hashlib.sha256)
    case.query = {**query, "signature": signature.hexdigest()}
    case.headers = {**(case.headers or {}), "X-MBX-APIKEY": session.key}


def examine(session: Session, operation: Any, http: requests.Session, answered: set[int]) -> None:
    signed = bool(operation.definition.raw.get("security"))

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def examined(case: Any) -> None:
        aim(case)
        if signed:
            sign(session, case)
        response = case.call(session=http, timeout=30)
        answered.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    try:
        examined()
    except BaseExceptionGroup as group:
        raise AssertionError("; ".join(map(str, group.exceptions))) from group


def main() -> None:
    session = Session()
    schema = schemathesis.openapi.from_url(f"{session.url}/openapi.json")
    answered: set[int] = set()
    for number, found in enumerate(schema.get_all_operations()):
        operation = found.ok()
        with session.check(f"{operation.label}: no fault, and answers as described"):
            with requests.Session() as http:
                http.mount("http://", From(f"127.0.1.{number + 1}"))
                examine(session, operation, http, answered)
    with session.check("some requests were good, none went over a limit"):
        assert 200 in answered and not answered & {418, 429}, answered
    with session.check("the exchange is up, its ledger adds up"):
        books = session.control("books")
        assert books and all(float(one["imbalance"]) == 0 for one in books.values()), books
    session.end()


main()
