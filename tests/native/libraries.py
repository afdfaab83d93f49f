"""Libraries of native operators for tests: built from the sources, asked by ctypes what they have."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock

from tests.native import kept_objects

NATIVE = Path(__file__).parents[2] / "native"


KEPT_FOR = 7 * 24 * 60 * 60
"""Seconds since a library was wanted last: sources change, and one for a sanitizer has 15 MB."""


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


def keeping(words: Sequence[str], folder: Path) -> list[str]:
    """The words of a compiler that takes from a folder what it compiled before for another library or program."""
    return [sys.executable, kept_objects.__file__, str(folder / "objects"), *words]


def built(folder: Path, extra: Sequence[str] = (), program: bool = False) -> Path:
    """The library, built by whichever worker is the first to need it, and kept for later runs of the same sources and compiler.

    Args:
        folder: of all that is kept.
        extra: words for the compiler.
        program: build the program of ``native/tests`` beside it, ``hostile``.
    """
    words = compiler()
    made = folder / _key([*words, *extra])
    made.mkdir(parents=True, exist_ok=True)
    os.utime(made)
    for other in folder.iterdir():
        if time.time() - other.stat().st_mtime > KEPT_FOR:
            shutil.rmtree(other, ignore_errors=True)
    library: Path = made / HERE.library
    with FileLock(made / "lock"):
        if not library.is_file():
            try:
                building.build(made, HERE, keeping(words, folder), extra)
            except SystemExit as error:
                pytest.fail(str(error))
        if program and not (made / "hostile").is_file():
            sources = [str(one) for one in sorted((NATIVE / "tests").glob("*.c"))]
            linked = [str(library), f"-Wl,-rpath,{made}", "-lm", "-pthread", "-o", str(made / "hostile")]
            flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", *extra, f"-I{NATIVE / 'src'}"]
            done = subprocess.run([*words, *flags, *sources, *linked], capture_output=True, text=True)
            assert not done.returncode, done.stderr
    return library


def _key(words: Sequence[str]) -> str:
    """Of the sources, the compiler and what it is told."""
    says = subprocess.run([words[0], "--version"], capture_output=True).stdout
    seen = hashlib.sha256(repr((words, says)).encode())
    for one in sorted([*NATIVE.glob("src/*"), *NATIVE.glob("tests/*"), NATIVE / "building.py"]):
        seen.update(one.read_bytes())
    return seen.hexdigest()[:16]


def known(library: Path) -> list[str]:
    """The instruction sets that this processor has, of those that the library has."""
    opened = ctypes.CDLL(str(library))
    opened.youtu_onnx_known_instructions.restype = ctypes.c_char_p
    found, runs, i = [], ctypes.c_int(), 0
    while name := opened.youtu_onnx_known_instructions(i, ctypes.byref(runs)):
        found += [name.decode()] if runs.value else []
        i += 1
    return found


def compared(command: Sequence[str | Path]) -> list[str]:
    """The instruction sets that the program compared; it has to find nothing wrong."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    lines = done.stdout.splitlines()
    assert lines[-1].endswith(" 0 failed") and int(lines[-1].split()[0]) > 100_000
    return [line.removesuffix(": compared") for line in lines if line.endswith(": compared")]
