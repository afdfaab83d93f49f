"""Sequences that trials run on always hold the beginning of their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.bench.plan import random_ids
from youtu_onnx.bench.sequences import ManySequences, OneSequence
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel

NanoBundle = Callable[..., Path]


class EchoModel:
    """Its cache is the ids that it was given, so that a test can read them there."""

    device, device_id = "cpu", 0

    def __init__(self, *, rewindable: bool = True) -> None:
        layout = SimpleNamespace(length=None, rewindable=rewindable, uniform=True)
        self.bundle = SimpleNamespace(manifest=SimpleNamespace(cache=layout))
        self.seen = np.empty((0, 0))

    def run(self, ids, mask, positions, past=None, *, last_only=False):
        before = np.empty((len(ids), 1, 0, 1), np.float32) if past is None else past[0].numpy()
        total = before.shape[2] + ids.shape[1]
        assert mask.shape == (len(ids), total) and mask.all()
        assert np.array_equal(positions, np.tile(np.arange(before.shape[2], total), (len(ids), 1)))
        assert ids.size <= max(PREFILL_CHUNK, len(ids)), "a step is no larger than a single sequence's"
        present = np.concatenate([before, ids[:, None, :, None].astype(np.float32)], 2)
        self.seen = present[:, 0, :, 0]
        return None, [ort.OrtValue.ortvalue_from_numpy(present)]


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.booleans(), st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=12))
def test_many_sequences_always_hold_the_beginning_of_their_text(batch, rewindable, moves) -> None:
    ids = random_ids(batch, 2000, 999, frozenset())
    sequences, length = ManySequences(model := EchoModel(rewindable=rewindable), ids), 0
    for forward, count in moves:
        if forward and 0 < count <= 2000 - length:
            sequences.append(count)
            length += count
            assert np.array_equal(model.seen, ids[:, :length])
        elif not forward:
            sequences.rewind_to(count)
            length = min(length, count)
        assert sequences.length == length


class EchoDecoder:
    """Its cache is the ids that it was given."""

    def __init__(self, *, rewindable: bool) -> None:
        self.rewindable, self.rows = rewindable, None
        self.ids: list[int] = []

    @property
    def length(self) -> int:
        return len(self.ids)

    def prefill(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def rewind(self, count: int) -> None:
        assert self.rewindable
        del self.ids[len(self.ids) - count :]

    def reset(self) -> None:
        self.ids = []


@pytest.mark.parametrize("rewindable", [True, False])
def test_a_sequence_goes_back_whether_its_cache_can_drop_tokens_or_not(rewindable: bool) -> None:
    ids = random_ids(1, 40, 999, frozenset())
    sequence = OneSequence(decoder := EchoDecoder(rewindable=rewindable), ids)
    for move, length in ((30, 30), (-20, 20), (-25, 20), (1, 21), (-21, 21), (-0, 0), (5, 5)):
        if move > 0:
            sequence.append(move)
        else:
            sequence.rewind_to(-move)
        assert sequence.length == length and decoder.ids == ids[0, :length].tolist()


@pytest.mark.parametrize("form", ["latent", "expanded"])
def test_sequences_on_a_real_bundle(nano_bundle: NanoBundle, form: str) -> None:
    model = OrtModel(Bundle.open(nano_bundle("int4", form)))
    ids = random_ids(2, 40, 1000, frozenset(range(10)))
    for sequences in (OneSequence(OrtDecoder(model), ids[:1]), ManySequences(model, ids)):
        sequences.append(30)
        sequences.append(1)
        sequences.rewind_to(20)
        sequences.append(1)
        sequences.rewind_to(20)
        sequences.rewind_to(30)
        assert sequences.length == 20
        sequences.rewind_to(0)
        assert sequences.length == 0
