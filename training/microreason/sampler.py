"""Replies of many prompts at once: greedy, or sampled with the probability of every token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .cache import Cache, RoomyRows
from .model import MicroReasonForCausalLM


@dataclass
class Reply:
    """The tokens after a prompt, the end token among them where it came; and the log probability of each."""

    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    finished: bool = False


@dataclass(frozen=True)
class Prompts:
    """Padded on the left: tokens, documents (0 is padding) and positions, [B, S]."""

    tokens: Tensor
    documents: Tensor
    positions: Tensor

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], device: torch.device) -> Prompts:
        width = max(map(len, prompts))
        tokens = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
        documents = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        return cls(tokens, documents, (documents.cumsum(1) - 1).clamp(min=0))


@torch.inference_mode()
def replies(
    model: MicroReasonForCausalLM, prompts: Sequence[Sequence[int]], eos: int, most: int, temperature: float = 0.0
) -> list[Reply]:
    """Up to `most` tokens after each prompt; at temperature 0 the likeliest ones. Sampling takes torch's own chances.

    Sequences that are done leave the batch as soon as they are half of it.
    """
    given = Prompts.of(prompts, model.model.embed_tokens.weight.device)
    layers = model.config.num_hidden_layers
    cache = Cache([RoomyRows.empty(given.tokens.shape[1] + most) for _ in range(layers)])
    found, going = [Reply() for _ in prompts], list(range(len(prompts)))
    hidden = model.model(given.tokens, given.positions, given.documents, cache).hidden[:, -1]
    at = given.positions[:, -1]
    for _ in range(most):
        step, chances = chosen(model.logits(hidden).float(), temperature)
        for row, token, chance in zip(going, step.tolist(), chances.tolist(), strict=True):
            if not found[row].finished:
                found[row].tokens.append(token)
                found[row].log_probabilities.append(chance)
                found[row].finished = token == eos
        alive = [place for place, row in enumerate(going) if not found[row].finished]
        if not alive:
            break
        at = at + 1
        if 2 * len(alive) <= len(going):
            kept = torch.tensor(alive, device=step.device)
            cache.layers = [rows.of(kept) for rows in cache.layers if isinstance(rows, RoomyRows)]
            going, step, at = [going[place] for place in alive], step[kept], at[kept]
        hidden = model.model(step[:, None], at[:, None], None, cache).hidden[:, -1]
    return found


def chosen(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """A token of each row of logits [B, V], and the log of its probability at that temperature (at 1 where greedy)."""
    logs = (logits / (temperature or 1.0)).log_softmax(-1)
    step = torch.multinomial(logs.exp(), 1).squeeze(-1) if temperature else logs.argmax(-1)
    return step, logs.gather(-1, step[:, None]).squeeze(-1)
