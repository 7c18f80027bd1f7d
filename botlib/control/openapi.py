"""The OpenAPI 3.1 document of the health page."""

from __future__ import annotations

from typing import Any, Final

from botlib.control.requests import MAX_BODY, TOKEN_HEADER

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_HEALTH: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["healthy", "reasons"],
    "properties": {
        "healthy": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
_TASKS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["tasks"],
    "properties": {"tasks": {"type": "array", "items": {"type": "object"}}},
}
_KILL: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "reason": {"type": "string", "maxLength": MAX_BODY // 16},
        "close_positions": {"type": "boolean", "default": False},
    },
}
_KILLED: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["killed"],
    "properties": {"killed": {"type": "boolean"}},
}


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the health page and the kill switch."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "botlib",
            "version": "1",
            "description": "Health, task status and the kill switch of a bot on this computer.",
        },
        "paths": {
            "/health": {
                "get": _operation(
                    "health",
                    {
                        "200": _answer("The bot does its work.", _HEALTH),
                        "503": _answer("It does not, for these reasons.", _HEALTH),
                    },
                )
            },
            "/api/v1/tasks/status": {
                "get": _operation("tasks", {"200": _answer("The state of every task.", _TASKS)})
            },
            "/api/v1/kill": {
                "post": {
                    **_operation(
                        "kill",
                        {
                            "200": _answer("Entries are stopped.", _KILLED),
                            "400": _answer("The body is no kill request.", _ERROR),
                            "401": _answer("The token of this run is missing.", _ERROR),
                            "413": _answer("The body is too large.", _ERROR),
                            "503": _answer("The bot does not run.", _ERROR),
                        },
                    ),
                    "security": [{"token": []}],
                    "requestBody": {
                        "required": False,
                        "content": {"application/json": {"schema": _KILL}},
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
            },
        },
    }


def _operation(name: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "responses": {**responses, "403": _answer("A web page or another host.", _ERROR)},
    }


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
