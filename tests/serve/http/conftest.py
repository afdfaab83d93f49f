"""An engine for the HTTP application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serve.http.serving import OneAtATime


@pytest.fixture
def engine(nano_bundle: Callable[..., Path]) -> Iterator[OneAtATime]:
    """A new engine on youtu-nano, closed after the test."""
    made = OneAtATime(nano_bundle())
    yield made
    made.gate.set()
    made.close()
