"""transformers' own ``generate()`` over MicroReason's bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families.microreason.tiny import VOCABULARY
from youtu_onnx import ORTYoutuForCausalLM, export

DRAW = np.random.default_rng(11)
PROMPTS = [DRAW.integers(4, VOCABULARY, length).tolist() for length in (24, 9)]


@pytest.fixture(scope="module")
def models(checkpoint: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, ORTYoutuForCausalLM]:
    made = {}
    for form in ("routed", "masked"):
        path = export(str(checkpoint(True)), tmp_path_factory.mktemp("hf") / form, precision="fp32", cache=form, verify=False)
        made[form] = ORTYoutuForCausalLM.from_pretrained(path.bundle.path)
    return made


def padded() -> dict[str, torch.Tensor]:
    width = max(map(len, PROMPTS))
    rows = [([0] * (width - len(prompt)) + prompt, [0] * (width - len(prompt)) + [1] * len(prompt)) for prompt in PROMPTS]
    ids, mask = (torch.tensor([row[which] for row in rows]) for which in (0, 1))
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_both_forms_give_the_same_tokens(models: dict[str, ORTYoutuForCausalLM], options: dict[str, int]) -> None:
    for given in (padded(), {"input_ids": torch.tensor(PROMPTS[:1])}):
        routed, masked = (
            models[form].generate(**given, max_new_tokens=20, do_sample=False, eos_token_id=None, **options)
            for form in ("routed", "masked")
        )
        assert torch.equal(routed, masked)


def test_a_sequence_of_a_batch_is_what_it_is_alone(models: dict[str, ORTYoutuForCausalLM]) -> None:
    together = models["routed"].generate(**padded(), max_new_tokens=20, do_sample=False, eos_token_id=None)
    for row, prompt in zip(together, PROMPTS, strict=True):
        alone = models["routed"].generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False, eos_token_id=None)
        assert row[-20:].tolist() == alone[0, -20:].tolist()


def test_its_configuration_is_that_of_the_model(models: dict[str, ORTYoutuForCausalLM]) -> None:
    config = models["routed"].config
    assert (config.head_dim, config.attention_window, config.attention_routing) == (32, 8, True)
    assert config.architectures == ["MicroReasonForCausalLM"] and config.vocab_size == VOCABULARY
