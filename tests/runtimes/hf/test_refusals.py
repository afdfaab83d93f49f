"""What a graph can't do is refused where it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import torch
from transformers import DynamicCache, GenerationConfig

from tests.runtimes.hf.inputs import random_ids
from youtu_onnx.core.errors import UsageError

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "contrastive search": ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive search compares hidden states"),
    "DoLa": ({"dola_layers": "high"}, "the last layer's alone"),
    "early exit": ({"assistant_early_exit": 2}, "not in the graph"),
    "attentions": ({"output_attentions": True, "return_dict_in_generate": True}, "attention weights"),
    "hidden states": ({"output_hidden_states": True, "return_dict_in_generate": True}, "hidden states"),
    "embeddings": ({"inputs_embeds": torch.zeros(1, 2, 256)}, "starts from token ids"),
    "a static cache": ({"cache_implementation": "static"}, "the graph has its own cache"),
    "a paged cache": ({"cache_implementation": "paged"}, "the graph has its own cache"),
    "another model's cache": ({"past_key_values": DynamicCache()}, "is a DynamicCache"),
}


@pytest.mark.parametrize(("options", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_generate_refuses(model, single, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.generate(**single, **options)


def test_options_that_a_generation_config_sets_are_refused_too(model, single) -> None:
    with pytest.raises(UsageError, match="hidden states"):
        model.generate(**single, generation_config=GenerationConfig(output_hidden_states=True))


def test_a_misspelt_option_is_refused(model, single) -> None:
    with pytest.raises(ValueError, match="max_nwe_tokens"):
        model.generate(**single, max_nwe_tokens=3)


def test_continuous_batching_is_refused(model) -> None:
    with pytest.raises(UsageError, match="continuous batching"):
        model.generate_batch([[1, 2]])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": None}, "input_ids is None"),
        ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, "at least one of each"),
        ({"input_ids": torch.zeros(3, dtype=torch.long)}, "expected whole numbers"),
        ({"input_ids": torch.zeros(1, 2)}, "torch.float32"),
        ({"input_ids": torch.tensor([[1, 1280]])}, "reach from 1 to 1280; the vocabulary has 1280"),
        ({"input_ids": torch.tensor([[-1, 5]])}, "reach from -1"),
        ({"input_ids": torch.ones(1, 2, dtype=torch.long), "attention_mask": torch.ones(1, 3)}, r"expected \[1, 2\]"),
        ({"input_ids": torch.ones(1, 2, dtype=torch.long), "position_ids": torch.ones(1, 3)}, "position_ids"),
        ({"input_ids": torch.ones(1, 2, dtype=torch.long), "output_attentions": True}, "attention weights"),
    ],
)
def test_what_forward_refuses(model, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model(**inputs)


def test_a_cache_of_another_batch_is_refused(model) -> None:
    cache = model(random_ids(2, 4)).past_key_values
    with pytest.raises(UsageError, match="holds 2 sequences, and input_ids 3"):
        model(random_ids(3, 1), past_key_values=cache)
    assert cache.get_seq_length() == 4
    with pytest.raises(UsageError, match="extended by the graph"):
        cache.update(torch.zeros(1), torch.zeros(1), 0)


def test_other_devices_and_dtypes_and_training_are_refused(model) -> None:
    assert model.to("cpu") is model and model.to(torch.float32) is model and model.eval() is model
    with pytest.raises(UsageError, match="runs on provider cpu"):
        model.to("cuda")
    with pytest.raises(UsageError, match="float16"):
        model.to(dtype=torch.float16)
    with pytest.raises(UsageError, match="can't be trained"):
        model.train()
