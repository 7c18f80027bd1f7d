"""schemathesis on the health page of a bot: requests generated from its OpenAPI document."""

from __future__ import annotations

import json
import sys
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

EXAMPLES = 60
"""Generated requests per operation."""

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def examine(operation: Any, token: str, answered: set[int]) -> None:
    secured = bool(operation.definition.raw.get("security"))

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
        case.headers = {**(case.headers or {}), "X-Botlib-Token": token} if secured else None
        response = case.call(timeout=30)
        answered.add(response.status_code)
        unhealthy = operation.path == "/health" and response.status_code == 503
        case.validate_response(response, checks=CHECKS[1:] if unhealthy else CHECKS)

    try:
        examined()
    except BaseExceptionGroup as group:
        raise AssertionError("; ".join(map(str, group.exceptions))) from group


def main() -> None:
    given_ = json.load(sys.stdin)
    passed = failed = 0
    answered: set[int] = set()
    schema = schemathesis.openapi.from_url(f"{given_['url']}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        name = f"{operation.label}: no fault, and answers as described"
        try:
            examine(operation, given_["token"], answered)
        except Exception as error:
            failed += 1
            sys.stdout.write(f"FAILED  {name}: {error}"[:400].replace("\n", " ") + "\n")
        else:
            passed += 1
            sys.stdout.write(f"ok      {name}\n")
    good = 200 in answered
    passed, failed = passed + good, failed + (not good)
    sys.stdout.write(f"{'ok    ' if good else 'FAILED'}  some requests were good\n")
    sys.stdout.write(f"=       {passed} passed, {failed} failed\n")
    sys.exit(1 if failed else 0)


main()
