"""The layer-by-layer reference and the whole-model decoder equal transformers' YoutuForCausalLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import YoutuConfig, YoutuForCausalLM

from tests.pytorch_decoder import PyTorchDecoder
from tests.tiny_checkpoint import CONFIG, OLD_GENERATION, VARIANTS, write_checkpoint
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.reference import YOUTU_REFERENCE

reference_logits = YOUTU_REFERENCE.logits
SEQUENCES = [list(range(1, 41)), [5], [130, 0, 7, 7]]
# pad_token_id stays out: from_pretrained zeroes that row of the embedding (see PyTorchDecoder)
UNPADDED = CONFIG | {"pad_token_id": None}


def from_pretrained(folder: Path) -> YoutuForCausalLM:
    return YoutuForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-5 of the largest logit: the two sum in another order (fused against eager attention)."""
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_transformers(tmp_path: Path, variant: str) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, UNPADDED | VARIANTS[variant]))
    model = from_pretrained(tmp_path)
    for ids, logits in zip(SEQUENCES, reference_logits(checkpoint, SEQUENCES), strict=True):
        with torch.inference_mode():
            assert_close(logits, model(torch.tensor([ids])).logits[0].numpy())


def test_rope_kinds_differ(tmp_path: Path) -> None:
    """Else the variants above would prove nothing."""
    logits = {}
    for variant in ("default", "yarn", "linear", "llama3", "longrope", "half-split rope"):
        folder = write_checkpoint(tmp_path / variant, UNPADDED | VARIANTS[variant])
        logits[variant] = reference_logits(Checkpoint.open(folder), SEQUENCES[:1])[0]
    listed = list(logits.values())
    assert min(np.abs(a - b).max() for i, a in enumerate(listed) for b in listed[:i]) > 0.1


def test_both_generations_mean_the_same(tmp_path: Path) -> None:
    new = Checkpoint.open(write_checkpoint(tmp_path / "new", CONFIG))
    old = Checkpoint.open(write_checkpoint(tmp_path / "old", OLD_GENERATION))
    assert np.array_equal(reference_logits(new, SEQUENCES)[0], reference_logits(old, SEQUENCES)[0])


def test_bfloat16_weights_are_computed_with_in_float32(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, UNPADDED, dtype=torch.bfloat16, shards=2))
    with torch.inference_mode():
        expected = from_pretrained(tmp_path)(torch.tensor(SEQUENCES[:1])).logits[0].numpy()
    assert_close(reference_logits(checkpoint, SEQUENCES[:1])[0], expected)


def test_keeps_the_positions_asked_for_and_reports_bytes(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path))
    reported: list[int] = []
    full = reference_logits(checkpoint, SEQUENCES, on_bytes=reported.append)
    part = reference_logits(checkpoint, SEQUENCES, keep=[slice(-3, None), slice(0, 1), slice(1, 3)])
    assert [len(rows) for rows in part] == [3, 1, 2]
    assert_close(part[0], full[0][-3:])
    assert_close(part[2], full[2][1:3])
    assert sum(reported) == checkpoint.nbytes + checkpoint.tensors["model.embed_tokens.weight"].nbytes


@pytest.mark.parametrize("ids", [[], [131], [-1]])
def test_refuses_ids_outside_the_vocabulary(tmp_path: Path, ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"empty|vocabulary"):
        reference_logits(Checkpoint.open(write_checkpoint(tmp_path)), [ids])


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (3, 1)])
def test_transformers_itself_runs_with_equal_head_counts_only(heads: int, kv_heads: int) -> None:
    """Why ``Architecture`` refuses fewer key/value heads: there is no reference to be equal to."""
    config = YoutuConfig(**(CONFIG | {"num_attention_heads": heads, "num_key_value_heads": kv_heads}))
    with pytest.raises(RuntimeError, match="must match the size"):
        YoutuForCausalLM(config).eval()(torch.tensor([[1, 2, 3]]))


# The whole-model decoder


@pytest.fixture
def decoder(tmp_path: Path) -> Iterator[PyTorchDecoder]:
    opened = PyTorchDecoder(Checkpoint.open(write_checkpoint(tmp_path)))
    yield opened
    opened.close()


def test_decoder_equals_the_reference_however_the_tokens_come(decoder: PyTorchDecoder, tmp_path: Path) -> None:
    ids = SEQUENCES[0]
    expected = reference_logits(Checkpoint.open(tmp_path), [ids])[0]
    assert_close(decoder.decode(ids), expected)
    assert decoder.length == len(ids)
    decoder.reset()
    assert_close(decoder.prefill(ids[:17]), expected[16])
    assert_close(decoder.decode(ids[17:20]), expected[17:20])
    assert_close(decoder.decode(ids[20:21]), expected[20:21])
    decoder.rewind(11)
    assert decoder.length == 10
    assert_close(decoder.prefill(ids[10:]), expected[-1])
    decoder.rewind(len(ids))
    assert decoder.length == 0
    assert_close(decoder.prefill(ids[:1]), expected[0])


def test_decoder_refuses_what_does_not_fit(decoder: PyTorchDecoder) -> None:
    for ids in ([], [131], list(range(65))):
        with pytest.raises(UsageError):
            decoder.prefill(ids)
    with pytest.raises(UsageError):
        decoder.rewind(1)
    assert decoder.length == 0


def test_a_model_larger_than_memory_is_refused_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(ResourceError, match="float32 takes"):
        PyTorchDecoder(checkpoint)
