"""What a bundle or a caller could give the operators that is wrong, and the words that each is refused with.

A program: ``python -m tests.native.hostile_cases LIBRARY`` runs all and prints a line of JSON for each, so that a crash is seen
by whoever started it: ``[name, message]``, where a message of null says that nothing was refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.native.altered import changing, with_attributes, with_constant, without_last, without_shapes
from tests.native.attention_reference import Attention, Sizes
from tests.native.linear_reference import some_matrix, with_all
from tests.native.sessions import session

Array = np.ndarray[Any, Any]
Feed = Mapping[str, Array]
NOTHING: Feed = {}
BEYOND = 2**32
"""A number whose lower half is zero: where it is cut to 32 bits, what is added to it is left."""


@dataclass(frozen=True)
class Case:
    """Attributes: name; words: of the error; run: what raises it, given the library."""

    name: str
    words: str
    run: Callable[[Path], object]


def _run(model: bytes, feed: dict[str, Array], library: Path, instructions: str = "") -> None:
    session(library, without_shapes(model), instructions).run(None, feed)


LINEAR = replace(with_all(some_matrix(6, 40, 4, 16, zeros=True)), residual=True)
X = {"x": np.ones((2, 40), np.float32), "residual": np.ones((2, 6), np.float32)}


def linear_cases() -> Iterator[Case]:
    model = LINEAR.model()

    def case(name: str, words: str, changed: bytes = model, feed: Feed = NOTHING) -> Case:
        return Case(f"Linear: {name}", words, partial(_run, changed, X | dict(feed)))

    for name, value, words in (
        ("K", None, "K and N must be positive"),
        *(("K", number, "K and N must be positive") for number in (0, -1, -(2**63), 2**31, 2**62, 2**63 - 1)),
        *(("N", number, "K and N must be positive") for number in (0, -6, 2**31, 2**63 - 1)),
        *(("K", number, "codes are not") for number in (10**6, 2**31 - 1)),
        *(("N", number, "codes are not") for number in (5, 7, 2**31 - 1)),
        *(("bits", number, "bits must be 4 or 8") for number in (0, 2, 16, -4, BEYOND + 4)),
        *(("block_size", number, "block_size must be") for number in (0, 8, 24, 512, -16, BEYOND + 16, None)),
        *(("offset", number, "offset must") for number in (-1, -(2**63), 2**31, 2**63 - 1)),
        ("offset", 1, "x is too narrow"),
        ("offset", 2**31 - 1, "x is too narrow"),
    ):
        yield case(f"{name} is {value}", words, with_attributes(model, **{name: value}))
    odd = with_constant(with_attributes(without_rows(model, 1), N=5, gated=1), "bias", None)
    yield case("gates of an odd number", "N must be even", odd)
    yield case("bits are 8", "codes are not", with_attributes(model, bits=8))
    yield case("K ends in another block", "codes are not", with_attributes(model, K=60))
    for name in ("codes", "scales", "zero_points", "bias", "gain"):
        yield case(f"{name} is short", f"{name} (are|is) not", without_last(model, name))
        yield case(f"{name} is empty", f"{name} (are|is) not", with_constant(model, name, np.zeros(0, kind_of(name))))
        changed, was = changing(model, name)
        needed = name in ("codes", "scales")
        yield case(f"{name} could change", f"{name} are not" if needed else "must be constants", changed, {name: was})
    yield case("x is narrow", "x is too narrow", feed={"x": np.ones((2, 39), np.float32)})
    yield case("x has no columns", "x is too narrow", feed={"x": np.ones((2, 0), np.float32)})
    yield case("x is a number", "x is too narrow", feed={"x": np.array(1, np.float32)})
    yield case("x has nine dimensions", "too many dimensions", feed={"x": np.ones((1,) * 8 + (40,), np.float32)})
    yield case("x is float64", "x|type", feed={"x": np.ones((2, 40))})
    yield case("residual is of fewer rows", "residual is not like y", feed={"residual": np.ones((1, 6), np.float32)})
    yield case("residual is wider", "residual is not like y", feed={"residual": np.ones((2, 7), np.float32)})
    yield Case("Linear: an unknown instruction set", "names an instruction set", partial(_run, model, X, instructions="abacus"))


def kind_of(name: str) -> type:
    return np.uint8 if name in ("codes", "zero_points") else np.float32


def without_rows(model: bytes, count: int) -> bytes:
    from tests.native.altered import constant

    for name in ("codes", "scales", "zero_points", "bias"):
        found = constant(model, name).reshape(LINEAR.rows, -1)
        model = with_constant(model, name, found[: LINEAR.rows - count])
    return model


SIZES = Sizes(heads=2, nope=4, rope=4, rank=16, value=4, part=8)
CONSTANTS = {
    "gain": "gain is not",
    "uk": "W_UK is not",
    "uk_offsets": "W_UK's offsets are not",
    "uv": "W_UV is not",
    "uv_offsets": "W_UV's offsets and scales are not",
    "uv_scales": "W_UV's offsets and scales are not",
}


KINDS = (np.float32, np.float16, np.uint8)
"""Of a row's numbers."""


def attention_cases(kind: type) -> Iterator[Case]:
    attention = Attention(SIZES, kind)
    model, right = attention.model(), attention.step(2, 3).feed(attention.past(3))

    def case(name: str, words: str, changed: bytes = model, feed: Feed = NOTHING) -> Case:
        return Case(f"{kind.__name__}: {name}", words, partial(_run, changed, right | dict(feed)))

    within = "must be within 1 and 65536"
    for name in ("heads", "nope", "rope", "rank", "value"):
        for value in (None, 0, -1, 65537, BEYOND + 4, 2**63 - 1, -(2**63)):
            yield case(f"{name} is {value}", within, with_attributes(model, **{name: value}))
        yield case(f"{name} is 65536", "is not|are not|too narrow", with_attributes(model, **{name: 65536}))
    yield case("part is 0", within, with_attributes(model, part=0))
    yield case("part is 7", "part must divide rank", with_attributes(model, part=7))
    yield case("part is 32", "part must divide rank", with_attributes(model, part=32))
    yield case("rope is 3", "rope must be even", with_attributes(model, rope=3))
    for value in (-1, 2**31, 2**63 - 1):
        yield case(f"offset is {value}", "offset must", with_attributes(model, offset=value))
    yield case("offset is 4", "kv is too narrow", with_attributes(model, offset=4))
    yield case("offset is 2^31 - 1", "kv is too narrow", with_attributes(model, offset=2**31 - 1))
    if kind is np.uint8:
        yield case("a row without room for its scale", "eight codes", with_attributes(model, rank=4, part=4))
    for name, words in CONSTANTS.items():
        yield case(f"{name} is short", words, without_last(model, name))
        changed, was = changing(model, name)
        yield case(f"{name} could change", words, changed, {name: was})
    for name, words in (("q", "q is too narrow|three dimensions"), ("kv", "kv is"), ("cos", "cos is"), ("sin", "sin is")):
        array = right[name]
        yield case(f"{name} is narrow", words, feed={name: np.ascontiguousarray(array[..., :1])})
        yield case(f"{name} has two dimensions", words, feed={name: array[0]})
        yield case(f"{name} has four dimensions", words, feed={name: array[None]})
        if name != "q":
            yield case(f"{name} is of fewer tokens", words, feed={name: array[:, :1]})
            yield case(f"{name} is of another batch", words, feed={name: np.concatenate([array, array])})
    yield case("cos is wide", "cos is", feed={"cos": np.ones((1, 2, 3), np.float32)})
    masks: list[tuple[int, ...]] = [(1, 4), (1, 6), (1, 0), (2, 5), (5,), (1, 1, 5)]
    for shape in masks:
        yield case(f"a mask of {shape}", "mask is not", feed={"mask": np.ones(shape, np.int64)})
    pasts: dict[tuple[int, ...], str] = {
        **dict.fromkeys([(1, 1, 2, 20), (1, 1, 4, 20)], "mask is not"),
        **dict.fromkeys([(2, 1, 3, 20), (1, 2, 3, 20), (1, 1, 3, 19), (1, 1, 3, 0)], "past is not"),
        **dict.fromkeys([(3, 20), (1, 1, 1, 3, 20)], "another type or rank"),
    }
    for shape, words in pasts.items():
        yield case(f"a past of {shape}", words, feed={"past": np.ones(shape, attention.kind)})
    yield case(
        "a past of the other type",
        "past|type",
        feed={"past": right["past"].astype(np.uint8 if kind is np.float32 else np.float32)},
    )
    for shift in (1, 20, 40):
        name = f"{kind.__name__}: present begins {shift} numbers into past"
        yield Case(name, "past and present overlap", partial(_overlapping, attention, 1, shift))
    name = f"{kind.__name__}: two sequences' past where their present lies"
    yield Case(name, "past and present overlap", partial(_overlapping, attention, 2, 0))


def batch_cases(kind: type) -> Iterator[Case]:
    """Two slots, of which the second has no token, and a chunk of one."""
    attention = Attention(SIZES, kind)
    step, kind = attention.step(2, 3), attention.kind
    past: Array = np.ones((1, 1, 3, SIZES.width), kind)
    right = {name: getattr(step, name) for name in ("q", "kv", "cos", "sin")}
    right |= {
        "slot_tokens": np.array([1, 0]),
        "chunk_mask": np.ones((1, 4), np.int64),
        "past0": past,
        "past1": past,
        "past2": past,
    }

    def case(name: str, words: str, feed: Feed, slots: int = 2) -> Case:
        full = f"{kind.__name__} of a batch: {name}"
        return Case(full, words, partial(_run, attention.batch_model(slots), right | dict(feed)))

    for numbers in ((1, 2), (-1, 1), (2**40, 0)):
        yield case(f"slots have {numbers} tokens", "other numbers than 0 and 1", {"slot_tokens": np.array(numbers)})
    for count in (0, 1, 3):
        yield case(f"there are {count} slots", "pasts and presents", {"slot_tokens": np.ones(count, np.int64)})
    yield case("there are 300 slots", "slot_tokens is not", {"slot_tokens": np.zeros(300, np.int64)})
    yield case("slots are a table", "slot_tokens is not", {"slot_tokens": np.ones((1, 2), np.int64)})
    one = {name: getattr(step, name)[:, :1] for name in ("q", "kv", "cos", "sin")}
    yield case("two tokens in slots, and one in all", "more tokens than there are", one | {"slot_tokens": np.array([1, 1])})
    for shape in ((1, 3), (1, 5), (2, 2), (4,)):
        yield case(f"a mask of {shape}", "chunk_mask is not", {"chunk_mask": np.ones(shape, np.int64)})
    for name in ("past0", "past1", "past2"):
        for wrong in ((1, 1, 3, 19), (2, 1, 3, 20), (1, 2, 3, 20)):
            yield case(f"{name} of {wrong}", "a past is not", {name: np.ones(wrong, kind)})
        yield case(f"{name} has no dimensions", "another type or rank", {name: np.ones((), kind)})
    yield case("a past that is empty, and a mask that is not", "chunk_mask is not", {"past2": past[:, :, :0]})


def _overlapping(attention: Attention, batch: int, shift: int, library: Path) -> None:
    step = attention.step(2, 3, batch)
    runner = session(library, attention.model())
    binding, kind = runner.io_binding(), attention.kind
    for name, array in step.feed(attention.past(3, batch)).items():
        if name != "past":
            binding.bind_cpu_input(name, array)
    buffer: Array = np.ones(1000, kind)
    binding.bind_input("past", "cpu", 0, kind, (batch, 1, 3, 20), buffer.ctypes.data)
    binding.bind_output("present", "cpu", 0, kind, (batch, 1, 5, 20), buffer[shift:].ctypes.data)
    binding.bind_output("context", "cpu")
    runner.run_with_iobinding(binding)


def cases() -> list[Case]:
    return [*linear_cases(), *(case for make in (attention_cases, batch_cases) for kind in KINDS for case in make(kind))]


def main() -> None:
    library = Path(sys.argv[1])
    for case in cases():
        print(json.dumps([case.name]), flush=True)  # if nothing follows, it was the last
        try:
            case.run(library)
        except Exception as error:
            print(json.dumps([case.name, str(error)]), flush=True)
        else:
            print(json.dumps([case.name, None]), flush=True)


if __name__ == "__main__":
    main()
