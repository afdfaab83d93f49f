"""Several sessions in a process, and several threads in a session: each has the bits that it has alone."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.native.attention_reference import Attention, Sizes
from tests.native.libraries import known
from tests.native.linear_reference import some_matrix, with_all
from tests.native.sessions import session, using

RUNS = 40
ATTENTION = Attention(Sizes(heads=4, nope=16, rope=8, rank=64, value=32, part=32), kind=np.uint8)
LINEAR = with_all(some_matrix(600, 512, 4, 32), gated=True)


def feeds() -> list[dict[str, Any]]:
    """Of both operators: few rows and many, decode steps and a prompt."""
    x = np.random.default_rng(0).standard_normal((20, 512)).astype(np.float32)
    steps = [ATTENTION.step(tokens, 300).feed(ATTENTION.past(300)) for tokens in (1, 6, 80)]
    return [{"x": x[:1]}, {"x": x}, *steps]


def runners(library: Path, instructions: str) -> list[Any]:
    linear, attention = (session(library, one.model(), instructions) for one in (LINEAR, ATTENTION))
    return [linear, linear, attention, attention, attention]


def test_two_threads_in_sessions_of_their_own(library: Path, instructions: str) -> None:
    alone = [runner.run(None, feed) for runner, feed in zip(runners(library, instructions), feeds(), strict=True)]

    def again(_: int) -> list[list[Any]]:
        mine = runners(library, instructions)
        for _ in range(RUNS // 10):
            made = [runner.run(None, feed) for runner, feed in zip(mine, feeds(), strict=True)]
        return made

    with using(instructions), ThreadPoolExecutor(2) as pool:  # the environment is the process's
        for made in pool.map(again, range(6)):
            assert_same(made, alone)


def test_threads_in_one_session(library: Path, instructions: str) -> None:
    shared = list(zip(runners(library, instructions), feeds(), strict=True))
    alone = [runner.run(None, feed) for runner, feed in shared]
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: [runner.run(None, feed) for runner, feed in shared], range(RUNS)):
            assert_same(made, alone)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_has_the_same_bits(library: Path, threads: int) -> None:
    for one, feed in ((LINEAR, feeds()[1]), (ATTENTION, feeds()[2]), (ATTENTION, feeds()[4])):
        few, many = (session(library, one.model(), threads=count).run(None, feed) for count in (1, threads))
        assert_same([few], [many])


def test_sessions_of_different_instruction_sets(library: Path) -> None:
    """Chosen when a session is made: one doesn't change another's."""
    names, feed = known(library), {"x": feeds()[1]["x"]}
    expected = [session(library, LINEAR.model(), name).run(None, feed) for name in names]
    both = [session(library, LINEAR.model(), name) for name in names]
    assert_same([runner.run(None, feed) for runner in both], expected)
    opened = ctypes.CDLL(str(library))
    opened.youtu_onnx_instructions.restype = ctypes.c_char_p
    for name in names:
        with using(name):
            assert opened.youtu_onnx_instructions().decode() == name
    with using("abacus"):
        assert opened.youtu_onnx_instructions() == b""
    with using(""):
        assert opened.youtu_onnx_instructions().decode() == names[0], "the fastest"


def assert_same(made: list[list[Any]], expected: list[list[Any]]) -> None:
    for some, others in zip(made, expected, strict=True):
        for one, other in zip(some, others, strict=True):
            np.testing.assert_array_equal(one, other)
