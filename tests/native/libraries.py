"""Libraries of native operators for tests: built from the sources, asked by ctypes what they have."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock

NATIVE = Path(__file__).parents[2] / "native"


def _building() -> ModuleType:
    """``native/building.py``, which is a program and lies in no package."""
    spec = importlib.util.spec_from_file_location("building", NATIVE / "building.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["building"] = made  # dataclasses look their module up
    spec.loader.exec_module(made)
    return made


building = _building()
HERE = building.Target.here()
NAMES: tuple[str, ...] = (*building.SETS.get(HERE.machine, {}), "plain")
"""Instruction sets of a build for this kind of machine, the fastest first."""


def compiler() -> list[str]:
    """The words that its command begins with. Skips a test where there is none."""
    try:
        return list(building.compiler(None, HERE))
    except SystemExit as error:
        pytest.skip(str(error))


def built(folder: Path, extra: Sequence[str] = (), words: Sequence[str] | None = None) -> Path:
    """The library in a folder, built by whichever worker is the first to need it."""
    words = compiler() if words is None else words
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        library = folder / HERE.library
        if not library.is_file():
            building.build(folder, HERE, words, extra)
    return library


def known(library: Path) -> list[str]:
    """The instruction sets that this processor has, of those that the library has."""
    opened = ctypes.CDLL(str(library))
    opened.youtu_onnx_known_instructions.restype = ctypes.c_char_p
    found, runs, i = [], ctypes.c_int(), 0
    while name := opened.youtu_onnx_known_instructions(i, ctypes.byref(runs)):
        found += [name.decode()] if runs.value else []
        i += 1
    return found
