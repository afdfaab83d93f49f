"""The operators under the compilers' sanitizers: no byte outside a buffer is touched, nothing is undefined, no two threads race.

A program that stands for ONNX Runtime runs them on nodes and inputs by chance, some as they should be and some with something
wrong.

``native/tests/hostile.c`` says what else it checks: what is as it should be runs, two runs at once have the same bits, and errors
have words.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.effort import EFFORT
from tests.native.libraries import built, compiler
from tests.native.sessions import VARIABLE

FLAGS = {
    "address,undefined": (
        "-fsanitize=address,undefined",
        "-fno-sanitize=null,object-size",  # the other sanitizer sees what these would, and they double the time to compile
        "-fno-sanitize-recover=undefined",
        "-fno-omit-frame-pointer",
    ),
    "thread": ("-fsanitize=thread",),
}
CASES = {"address,undefined": (str(120 * EFFORT), "2"), "thread": (str(40 * EFFORT), "4")}
"""And threads, each of which has as many."""


@pytest.fixture(scope="module", params=FLAGS)
def sanitized(request: pytest.FixtureRequest, libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The sanitizer, and the library."""
    name: str = request.param
    source = tmp_path_factory.mktemp("sanitized") / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    made = source.with_suffix("")
    done = subprocess.run([*compiler(), *FLAGS[name], str(source), "-o", str(made)], capture_output=True, text=True)
    if done.returncode or subprocess.run([str(made)], capture_output=True).returncode:
        pytest.skip(f"this compiler, or this system, has no sanitizer {name}")
    return name, built(libraries, (*FLAGS[name], "-O1", "-g1", "-DAS_WRITTEN"), program=True)


def hostile(library: Path, instructions: str, count: str, threads: str, **environment: str) -> str:
    """What the program beside a library prints. Nothing is reported."""
    done = subprocess.run(
        [str(library.with_name("hostile")), "1", count, threads],
        env=os.environ | {VARIABLE: instructions} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr[-4000:]
    return done.stdout


def test_nothing_to_report(sanitized: tuple[str, Path], instructions: str) -> None:
    name, library = sanitized
    words = hostile(library, instructions, *CASES[name]).split()
    ran, refused = int(words[0]), int(words[2])
    assert ran > refused / 3 and refused > ran / 3, "both kinds of cases"


def test_what_memory_held_before_changes_nothing(sanitized: tuple[str, Path], instructions: str) -> None:
    """Bit for bit, though every number of memory that was never written is one time nothing and one time no number."""
    name, library = sanitized
    if name == "thread":
        pytest.skip("it doesn't fill memory")
    fills = [f"max_malloc_fill_size={2**28}:malloc_fill_byte={byte}" for byte in (0, 255)]
    assert len({hostile(library, instructions, "100", "1", ASAN_OPTIONS=fill) for fill in fills}) == 1
