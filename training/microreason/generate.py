"""Greedy replies of the plain model, many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.common.tokenizer import EOS
from youtu_onnx.problems.problem import Problem

from . import sampler
from .cache import Cache
from .model import MicroReasonForCausalLM

NEW_TOKENS = 320
BATCH = 64


def prompt(problem: Problem) -> str:
    return f"<|begin_of_text|><|User|>{problem.prompt}<|Assistant|>"


@torch.inference_mode()
def continuations(model: MicroReasonForCausalLM, prompts: Sequence[Sequence[int]], eos: int, most: int) -> list[list[int]]:
    """The likeliest tokens after each prompt, up to `most` or the end token, which is left out. Shut rows leave the cache."""
    device = model.model.embed_tokens.weight.device
    width = max(map(len, prompts))
    padded = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    documents = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    positions = (documents.cumsum(1) - 1).clamp(min=0)
    cache, alive, out = Cache(), torch.ones(len(prompts), dtype=torch.bool, device=device), list[Tensor]()
    step: Tensor = model.logits(model.model(padded, positions, documents, cache).hidden[:, -1]).argmax(-1)
    at = positions[:, -1]
    for _ in range(most):
        alive = alive & (step != eos)
        out.append(torch.where(alive, step, eos))
        if not alive.any():
            break
        at = at + 1
        step = model.logits(model.model(step[:, None], at[:, None], None, cache).hidden[:, -1]).argmax(-1)
    return [[t for t in row if t != eos] for row in torch.stack(out, dim=1).tolist()]


def replies(
    model: MicroReasonForCausalLM, tokenizer: Tokenizer, problems: Sequence[Problem], most: int = NEW_TOKENS
) -> list[str]:
    """What the model says to each problem, thinking included; batches of neighbours, so give the problems by family."""
    eos, out = tokenizer.encode(EOS, add_special_tokens=False).ids[0], list[str]()
    for at in range(0, len(problems), BATCH):
        asked = [tokenizer.encode(prompt(p), add_special_tokens=False).ids for p in problems[at : at + BATCH]]
        said = [[t for t in one.tokens if t != eos] for one in sampler.replies(model, asked, eos, most)]
        out += [tokenizer.decode(ids, skip_special_tokens=False) for ids in said]
    return out
