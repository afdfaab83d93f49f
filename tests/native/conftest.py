"""The library of native operators, built from the sources once per run, and the instruction sets that this processor has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import shared
from tests.native.libraries import NAMES, built, known


@pytest.fixture(scope="session")
def libraries(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which they are kept, as :func:`built` wants it."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    return shared(tmp_path_factory) / "native" if cache is None else cache.mkdir("native")


@pytest.fixture(scope="session")
def library(libraries: Path) -> Path:
    """As anyone builds it."""
    return built(libraries, ["-Werror"])


@pytest.fixture(params=NAMES)
def instructions(request: pytest.FixtureRequest, library: Path) -> str:
    """Each instruction set of this kind of machine that this processor has."""
    name: str = request.param
    if name not in known(library):
        pytest.skip(f"this processor has no {name}")
    return name
