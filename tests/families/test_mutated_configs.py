"""Whatever stands in a ``config.json``, it means to this project what it means to transformers, or is refused by its name.

150 configs a run: :mod:`tests.effort`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers
from transformers import YoutuConfig, YoutuForCausalLM
from transformers.models.youtu.modeling_youtu import YoutuAttention, YoutuRotaryEmbedding

from tests.effort import EFFORT, SEED
from tests.exported import Graph, Stepwise, export_tiny
from tests.families.mutated_configs import Mutated, mutated
from tests.tiny_checkpoint import random_tensors, write_checkpoint
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.known import family_of
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.positions import tables
from youtu_onnx.families.youtu.reference import YOUTU_REFERENCE

CONFIGS = 150 * EFFORT
EXPORTS = 2 * EFFORT


def parsed(config: dict[str, Any]) -> tuple[Architecture | None, str]:
    """As far as an export goes before it looks at weights: the architecture, or why there is none."""
    try:
        family = family_of(config, where="config.json")
        architecture = family.parse(config, where="config.json")
        found = YOUTU_REFERENCE.misreadings(Checkpoint(Path(), "mutated", None, config, family, architecture, {}, ()))
    except CheckpointError as error:
        return None, error.message
    return (None, "; ".join(found)) if found else (architecture, "")


def names_a_key(message: str, changed: Mutated) -> bool:
    return any(key.rpartition(".")[2] in message for key in changed.keys)


def is_right(config: dict[str, Any], a: Architecture) -> None:
    """Everything that is made of the config, and the logits of it all, one token at a time behind the first few."""
    theirs = transformers_config(config)
    rotary, length = YoutuRotaryEmbedding(theirs), min(a.max_position_embeddings, 40)
    for table, wanted in zip(tables(a, length).values(), rotary(torch.zeros(1), torch.arange(length)[None]), strict=True):
        made, half = table.build({}), a.qk_rope_head_dim // 2
        assert torch.allclose(made[:, half:], wanted[0, :, half:], atol=2e-6 * rotary.attention_scaling), table
    with torch.device("meta"):
        assert a.softmax_scale == pytest.approx(YoutuAttention(theirs, 0).scaling, rel=1e-9)
    tensors = random_tensors(config)
    with torch.device("meta"):
        stored = {name: tuple(one.shape) for name, one in YoutuForCausalLM(theirs).state_dict().items()}
    assert {
        name: shape for name, shape in stored.items() if name in tensors or not theirs.tie_word_embeddings
    } == a.tensor_shapes()
    ids = np.random.default_rng(0).integers(0, a.vocab_size, (1, min(length, 12)))
    stepwise = Stepwise(transformers_model(config, tensors))
    found = [stepwise.step(ids[:, start:stop]) for start, stop in ((0, 7), *((one, one + 1) for one in range(7, ids.shape[1])))]
    wanted = YOUTU_REFERENCE.logits(_in_memory(config, a, tensors), ids.tolist())[0]
    assert np.abs(np.concatenate(found, 1)[0] - wanted).max() <= 1e-4 * np.abs(wanted).max()


def transformers_config(config: dict[str, Any]) -> YoutuConfig:
    made = YoutuConfig.from_dict(copy.deepcopy(config) | {"model_type": "youtu"}, attn_implementation="eager")
    made._attn_implementation = "eager"  # which one is a matter of the machine,
    made.return_dict = True  # and this of what calls return, not of what they compute
    return made


def transformers_model(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> YoutuForCausalLM:
    model = YoutuForCausalLM(transformers_config(config)).eval()
    model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    return model


def _in_memory(config: dict[str, Any], a: Architecture, tensors: dict[str, torch.Tensor]) -> Checkpoint:
    class InMemory(Checkpoint):
        def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
            return tensors[name][start:stop]

    infos = {name: type("Info", (), {"nbytes": one.nbytes, "shape": tuple(one.shape)}) for name, one in tensors.items()}
    return InMemory(Path(), "mutated", None, config, family_of(config, where=""), a, infos, ())


@pytest.fixture
def quiet_and_alone() -> Iterator[None]:
    """transformers remarks on what it doesn't read; for tiny matrices a second thread costs a hundred times what it saves."""
    level, threads = transformers.logging.get_verbosity(), torch.get_num_threads()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    yield
    transformers.logging.set_verbosity(level)
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("quiet_and_alone")
def test_mutated_configs_are_refused_by_name_or_read_as_transformers_reads_them(tmp_path: Path) -> None:
    print(f"YOUTU_ONNX_TEST_SEED={SEED}")
    accepted: dict[str, Mutated] = {}
    counts = {"read": 0, "refused": 0}
    for seed in range(SEED, SEED + CONFIGS):
        changed = mutated(seed)
        architecture, refused = parsed(changed.config)
        counts["refused" if refused else "read"] += 1
        if architecture is None:
            assert names_a_key(refused, changed), f"seed {seed}: {refused}, for {changed}"
            continue
        try:
            is_right(changed.config, architecture)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {changed}") from error
        accepted.setdefault(architecture.rope.rope_type, changed)
    print(counts)
    assert min(counts.values()) > CONFIGS // 10
    for place, changed in enumerate(list(accepted.values())[:EXPORTS]):
        exported_is_right(tmp_path / str(place), changed)


def exported_is_right(folder: Path, changed: Mutated) -> None:
    tensors = random_tensors(changed.config)
    write_checkpoint(folder / "checkpoint", changed.config, tensors)
    graph = Graph(folder / "bundle", export_tiny(folder / "checkpoint", folder / "bundle", Recipe("fp32")))
    model, context = transformers_model(changed.config, tensors), Architecture.from_config(changed.config).max_position_embeddings
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (1, min(context, 40)))
    wanted = Stepwise(model).step(ids)
    assert np.abs(graph.step(ids, graph.empty(1))[0] - wanted).max() <= 1e-4 * np.abs(wanted).max(), str(changed)
