"""Requests made up from the API's own description: every answer is one that it declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.serve.http.serving import OneAtATime
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.http.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ROUTES = [
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /api/chat",
    "POST /api/generate",
    "POST /api/show",
    "GET /api/tags",
    "GET /api/ps",
    "GET /api/version",
    "POST /chat",
    "POST /render",
    "POST /v1/responses",
    "GET /v1/responses/{id}",
    "DELETE /v1/responses/{id}",
    "GET /v1/responses/{id}/input_items",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /health",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def described(nano_bundle: Any, served_text: Any) -> Iterator[Any]:
    engine = OneAtATime(nano_bundle(), context=48)  # replies are short
    app = application(engine, text=served_text, settings=Settings(hosts=None))
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    engine.close()


def test_every_route_is_tried(described: Any) -> None:
    assert sorted(operation.ok().label for operation in described.get_all_operations()) == sorted(ROUTES)


@pytest.mark.parametrize(
    ("route", "mode"),
    [*((route, "positive") for route in ROUTES), *((route, "negative") for route in ROUTES if route.startswith("POST"))],
)
def test_answers_are_those_that_are_declared(described: Any, route: str, mode: str) -> None:
    """``positive``: requests as described; ``negative``: others."""
    [operation] = [one.ok() for one in described.get_all_operations() if one.ok().label == route]

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()
