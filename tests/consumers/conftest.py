"""What the consumers' tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import shared
from tests.consumers.reasoning import Reasoner


@pytest.fixture(scope="session")
def reasoner(tmp_path_factory: pytest.TempPathFactory, keep_traces: Callable[[], Path]) -> Reasoner:
    pytest.importorskip("torch")
    return Reasoner(shared(tmp_path_factory), keep_traces)
