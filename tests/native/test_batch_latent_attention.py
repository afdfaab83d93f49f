"""``BatchLatentAttention`` over rows of each kind: a token's context is of its own sequence, whatever its company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.native.attention_reference import Array, Attention, Step
from tests.native.sessions import session
from tests.native.test_latent_attention import KINDS, SIZES, away, check_rows, rounding, rows_of

PASTS = (70, 0, 200, 1300)
"""Tokens in slots; the last one's keys are cut into more ranges than the others'."""


def together(attention: Attention, lanes: list[Step], pasts: list[Array], active: list[bool]) -> dict[str, Array]:
    """What the operator is given: a lane's one token each where it is active, and the last lane's chunk."""
    steps = [step for step, there in zip(lanes[:-1], active, strict=True) if there] + lanes[-1:]
    joined = {name: np.concatenate([getattr(step, name) for step in steps], 1) for name in ("q", "kv", "cos", "sin")}
    counts = np.array(active, np.int64)
    return joined | {"slot_tokens": counts, "chunk_mask": lanes[-1].mask} | {f"past{i}": one for i, one in enumerate(pasts)}


def some_lanes(attention: Attention, chunk: int) -> tuple[list[Step], list[Array]]:
    lanes = [attention.step(1, past, seed=past) for past in PASTS] + [attention.step(chunk, 90)]
    return lanes, [attention.past(past) for past in (*PASTS, 90)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["odd", "never expanded", "even"])
@pytest.mark.parametrize("chunk", [0, 1, 5, 70])
def test_each_sequence_is_attended_to_by_its_own_tokens(
    library: Path, instructions: str, name: str, kind: type, chunk: int
) -> None:
    attention = Attention(SIZES[name], kind)
    runner = session(library, attention.batch_model(len(PASTS)), instructions)
    lanes, pasts = some_lanes(attention, chunk)
    lanes[-1].mask[:, 10:20] = 0
    for active in ([True] * 4, [True, False, True, False], [False] * 4):
        if not any(active) and not chunk:
            continue
        context, *presents = runner.run(None, together(attention, lanes, pasts, active))
        first = 0
        for step, past, present, there in zip(lanes, pasts, presents, [*active, True], strict=True):
            before = past.shape[2]
            np.testing.assert_array_equal(present[:, :, :before], past)
            assert present.shape[2] == before + (step.tokens if there else 0)
            if not there or not step.tokens:
                continue
            check_rows(attention, present[:, 0, before:], attention.rows(step))
            expected = attention.context(step, rows_of(attention, present), rounding(attention, step.tokens))
            average, largest = away(context[:, first : first + step.tokens], expected)
            most = {np.float32: (0.0005, 0.003), np.float16: (0.002, 0.008), np.uint8: (0.02, 0.03)}[kind]
            assert average < most[0] and largest < most[1], (average, largest)
            first += step.tokens
        assert first == context.shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_company_changes_nothing(library: Path, instructions: str, kind: type) -> None:
    """Bit for bit: each slot alone, with some others, with all, and beside chunks of any length."""
    attention = Attention(SIZES["even"], kind)
    runner = session(library, attention.batch_model(len(PASTS)), instructions)
    alone: dict[int, Any] = {}
    lanes, pasts = some_lanes(attention, 0)
    for slot in range(len(PASTS)):
        (alone[slot], *_) = runner.run(None, together(attention, lanes, pasts, [one == slot for one in range(len(PASTS))]))
    for chunk in (0, 3, 70):
        lanes, pasts = some_lanes(attention, chunk)
        for active in ([True] * 4, [True, True, False, False], [False, True, False, True]):
            context, *_ = runner.run(None, together(attention, lanes, pasts, active))
            for place, slot in enumerate(slot for slot, there in enumerate(active) if there):
                np.testing.assert_array_equal(context[:, place], alone[slot][:, 0])
