"""LongRoPE has two tables of frequencies, and a bundle the one of sequences up to the trained length: no longer one is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.exported import Graph, export_tiny, reference, reference_logits
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.progress import Silent
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import TARGETS
from youtu_onnx.exporters.assemble import assemble
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.youtu.architecture import Architecture

LONGROPE = CONFIG | VARIANTS["longrope"]
TRAINED, LONG = 48, CONFIG["max_position_embeddings"]


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_context_is_the_trained_length_and_the_export_says_so(tmp_path: Path, target: str) -> None:
    tensors, notes = random_tensors(LONGROPE), Notes()
    write_checkpoint(tmp_path / "checkpoint", LONGROPE, tensors)
    checkpoint = Checkpoint.open(tmp_path / "checkpoint")
    assemble(checkpoint, Recipe("fp32"), TARGETS[target], "latent", notes)
    [said] = notes.texts
    assert f"the context is {TRAINED} tokens, longrope's original_max_position_embeddings, and not {LONG}" in said
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "bundle", Recipe("fp32"), target=target)
    assert manifest.context_length == TRAINED
    assert manifest.model.bound == " (longrope's original_max_position_embeddings)"
    if target == "cpu":
        graph, ids = Graph(tmp_path / "bundle", manifest), np.random.default_rng(0).integers(3, 131, (1, TRAINED))
        wanted = reference_logits(reference(LONGROPE, tensors), ids)
        assert np.abs(graph.step(ids, graph.empty(1))[0] - wanted).max() <= 1e-3
        assert np.abs(graph.chunks(ids, 7) - wanted).max() <= 1e-3


def test_one_table_for_all_lengths_serves_them_all(tmp_path: Path) -> None:
    """What the export's note leads to: transformers then computes the same for every length."""
    rope = LONGROPE["rope_parameters"]
    config = CONFIG | {"rope_parameters": rope | {"short_factor": rope["long_factor"]}}
    tensors = random_tensors(config)
    write_checkpoint(tmp_path / "checkpoint", config, tensors)
    assert Checkpoint.open(tmp_path / "checkpoint").remarks == ()
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "bundle", Recipe("fp32"))
    assert (manifest.context_length, manifest.model.bound) == (LONG, "")
    graph, ids = Graph(tmp_path / "bundle", manifest), np.random.default_rng(0).integers(3, 131, (1, LONG))
    assert np.abs(graph.chunks(ids, 20) - reference_logits(reference(config, tensors), ids)).max() <= 1e-3


@pytest.mark.parametrize("name", ["default", "longrope", "llama3", "yarn"])
def test_a_manifest_records_what_its_type_reads(name: str) -> None:
    architecture = Architecture.from_config(CONFIG | VARIANTS[name])
    record = architecture.to_dict()
    assert Architecture.from_dict(record) == architecture
    assert ("short_factor" in record["rope"]) == (name == "longrope"), "releases before longrope read bundles without it"
    assert ("low_freq_factor" in record["rope"]) == (name == "llama3")


def test_the_configuration_of_a_bundle_means_what_the_checkpoint_s_does() -> None:
    """``ORTYoutuForCausalLM.config``: the factor is written out, since it came from the length that is now shorter."""
    from transformers import YoutuConfig
    from transformers.models.youtu.modeling_youtu import YoutuRotaryEmbedding

    fields = Architecture.from_config(LONGROPE).to_hf_config()
    assert fields["max_position_embeddings"] == TRAINED
    ours, theirs = (YoutuRotaryEmbedding(YoutuConfig(**one)) for one in (fields, LONGROPE))
    assert ours.attention_scaling == pytest.approx(theirs.attention_scaling)
    assert torch.equal(ours.inv_freq, theirs.inv_freq)
