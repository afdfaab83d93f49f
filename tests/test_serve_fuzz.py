"""Requests made up from the API's own description: every answer is one that it declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.serving import OneAtATime
from youtu_onnx.serve.application import application
from youtu_onnx.serve.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(nano_bundle: Any, served_text: Any) -> Iterator[Any]:
    engine = OneAtATime(nano_bundle(), context=48)  # replies are short
    yield schemathesis.openapi.from_asgi("/openapi.json", application(engine, text=served_text, settings=Settings(hosts=None)))
    engine.close()


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_those_that_are_declared(case: Any) -> None:
    case.call_and_validate(checks=CHECKS)
