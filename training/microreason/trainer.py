"""One step of the base training, and everything that a run must remember."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.common.batches import IGNORED
from training.common.optimizers import muon_and_adamw

from . import growth
from .config import MicroReasonConfig
from .model import MicroReasonForCausalLM
from .stream import Batch

GATE = "self_attn.gate_proj"
AVERAGE = 0.998  # weight average over about 500 steps: what is measured and kept


@dataclass(frozen=True)
class Rates:
    """Learning rates at their highest, and how they follow the progress (0 to 1) of the time budget."""

    matrix: float = 3e-3
    other: float = 3e-3
    gate: float = 0.0  # of the gates, which only AdamW trains; 0 leaves them as they are
    warmup_steps: int = 200
    decay_from: float = 0.6  # a plateau until here, then linear to zero; a budget may be changed while on it

    def factor(self, progress: float, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup_steps) * min(1.0, max(0.0, 1 - progress) / (1 - self.decay_from))


class Trainer:
    """Weights, their average, and the optimizers, of a model that may grow deeper on the way to `config`."""

    def __init__(self, config: MicroReasonConfig, depth: int, device: torch.device, rates: Rates, compiled: bool):
        self.config, self.device, self.rates, self.compiled = config, device, rates, compiled
        self.step = 0
        self.build(depth)

    def build(self, depth: int) -> None:
        """A model of `depth` layers with fresh weights and optimizers."""
        self.model = MicroReasonForCausalLM(replace(self.config, num_hidden_layers=depth)).to(self.device)
        self.average = {name: w.detach().clone() for name, w in self.model.named_parameters()}
        self.optimizers = self.optimizers_of(self.model)
        self.rated = self.rates_of()
        self.body = self.prepared(self.model.model)

    def prepared(self, body: nn.Module) -> Callable[..., Any]:
        """The module, compiled where that is wanted."""
        if not self.compiled:
            return body
        torch._inductor.config.cpp.dynamic_threads = True  # else the number of threads is compiled in
        compiled: Callable[..., Any] = torch.compile(body)
        return compiled

    def optimizers_of(self, model: nn.Module) -> list[torch.optim.Optimizer]:
        named = [(n, p) for n, p in model.named_parameters() if GATE not in n]
        embeddings = [p for n, p in named if "embed_tokens" in n]
        matrices = [p for n, p in named if p.ndim == 2 and "embed_tokens" not in n]
        vectors = [p for _, p in named if p.ndim == 1]
        optimizers = muon_and_adamw(matrices, embeddings, vectors, self.rates.matrix, self.rates.other)
        if self.rates.gate:
            gates = [p for n, p in model.named_parameters() if GATE in n]
            optimizers.append(torch.optim.AdamW(gates, lr=self.rates.gate, betas=(0.9, 0.98), weight_decay=0.0))
        return optimizers

    @property
    def depth(self) -> int:
        return len(self.model.model.layers)

    def grow(self, depth: int) -> None:
        """Goes on with `depth` layers, made by stacking the present ones; momenta and average go with their weights."""
        before, model, average, optimizers = self.depth, self.model, self.average, self.optimizers
        self.build(depth)
        names = [name for name, _ in self.model.named_parameters()]
        self.model.load_state_dict(growth.stacked(model.state_dict(), before, names))
        self.average = growth.stacked(average, before, names)
        old_names = {id(p): n for n, p in model.named_parameters()}
        new_names = {id(p): n for n, p in self.model.named_parameters()}
        for old, new in zip(optimizers, self.optimizers, strict=True):
            growth.copy_state(old, new, old_names, new_names, before)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of the taught tokens; logits are computed for these alone."""
        hidden = self.body(batch.input_ids, batch.position_ids, batch.document_ids).hidden
        targets = batch.labels[:, 1:]
        taught = targets != IGNORED
        logits = self.model.logits(hidden[:, :-1][taught])
        return F.cross_entropy(logits.float(), targets[taught])

    def train_step(self, batch: Batch, progress: float) -> float:
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.update(progress)
        return self.finite(loss.item())

    def update(self, progress: float) -> None:
        """Moves weights and their average by the gradients that are there."""
        factor = self.rates.factor(progress, self.step)
        for group, full in self.rated:
            group["lr"] = full * factor
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            decay = min(AVERAGE, self.step / (self.step + 10))
            weights = dict(self.model.named_parameters())
            torch._foreach_lerp_(list(self.average.values()), [weights[n] for n in self.average], 1 - decay)
        self.step += 1

    def finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise FloatingPointError(f"loss is {value} at step {self.step}; resume from the last state with lower rates")
        return value

    def averaged(self) -> MicroReasonForCausalLM:
        """A model for measuring, with the averaged weights."""
        model = MicroReasonForCausalLM(self.model.config).to(self.device)
        model.load_state_dict(self.average)
        return model.eval()

    def state(self) -> dict[str, Any]:
        return {
            "depth": self.depth,
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "rng": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        if state["depth"] != self.depth:
            self.build(state["depth"])
        self.model.load_state_dict(state["model"])
        self.average = {name: w.to(self.device) for name, w in state["average"].items()}
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.rated = [(group, full) for (group, _), (_, full) in zip(self.rates_of(), self.rated, strict=True)]
        self.step = state["step"]
        torch.set_rng_state(state["rng"])

    def rates_of(self) -> list[tuple[dict[str, Any], float]]:
        """The groups of all optimizers: `load_state_dict` makes new ones."""
        return [(group, group["lr"]) for o in self.optimizers for group in o.param_groups]
