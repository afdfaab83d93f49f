"""youtu-nano as a bundle with transformers' interface, as transformers' own model, and prompts for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.vectors.make import NANO

if TYPE_CHECKING:
    import torch
    from transformers import YoutuForCausalLM

    from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For tiny matrices a second thread costs more than it saves."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def model(nano_bundle: Callable[..., Path]) -> ORTYoutuForCausalLM:
    from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM

    return ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32"), threads=1)


@pytest.fixture(scope="package")
def reference() -> YoutuForCausalLM:
    import torch
    from transformers import YoutuForCausalLM

    return YoutuForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()


@pytest.fixture(scope="package")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(NANO, padding_side="left")


@pytest.fixture(scope="package")
def batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    """Three prompts of different lengths, padded on the left."""
    from tests.runtimes.hf.inputs import QUESTIONS

    chats = [[{"role": "user", "content": question}] for question in QUESTIONS]
    made = dict(
        tokenizer.apply_chat_template(chats, add_generation_prompt=True, return_tensors="pt", padding=True, return_dict=True)
    )
    assert (made["attention_mask"] == 0).any() and made["attention_mask"][:, -1].all()
    return made


@pytest.fixture(scope="package")
def single(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The longest of them, which has no padding."""
    [row] = batch["attention_mask"].all(1).nonzero()[0].tolist()
    return {name: tensor[row : row + 1] for name, tensor in batch.items()}
