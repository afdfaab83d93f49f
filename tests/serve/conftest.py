"""What several rooms of the server are tested with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from youtu_onnx.serve.text.model_text import ModelText


@pytest.fixture(scope="session")
def served_text(nano_bundle: Callable[..., Path]) -> ModelText:
    """What a server knows of youtu-nano beside the engine."""
    return ModelText.open(nano_bundle(), name="youtu-nano")
