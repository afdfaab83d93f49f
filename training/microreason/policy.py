"""A step of the third stage: a model learns from its own replies, and from the solver's where it has no right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from training.common.batches import IGNORED

from . import objectives
from .config import MicroReasonConfig
from .model import MicroReasonForCausalLM
from .objectives import Reach
from .rollout import Experience
from .rounding import rounded
from .schedule import AT_THE_END, Schedule
from .trainer import Rates, Trainer


@dataclass(frozen=True)
class Weights:
    """Of the losses beside the policy's, which is 1. `clip`: how far a ratio of probabilities counts."""

    clip: float = 0.2
    drift: float = 0.05
    shown: float = 0.5


USUAL = Weights()


class Policy(Trainer):
    """The routed model with hard gates that stage 2 left, and that model itself, from which it isn't to drift far."""

    def __init__(
        self,
        config: MicroReasonConfig,
        weights: Mapping[str, Tensor],
        device: torch.device,
        rates: Rates,
        compiled: bool,
        schedule: Schedule = AT_THE_END,
        losses: Weights = USUAL,
    ):
        super().__init__(config, config.num_hidden_layers, device, rates, compiled)
        self.model.load_state_dict(dict(weights))
        self.average = {name: w.detach().clone() for name, w in self.model.named_parameters()}
        self.schedule, self.losses = schedule, losses
        self.reference = MicroReasonForCausalLM(config).to(device).eval().requires_grad_(False)
        self.reference.load_state_dict(dict(weights))
        self.reference_body = self.prepared(self.reference.model)

    def parts(self, given: Experience) -> dict[str, Tensor]:
        """The losses of one batch, unweighted."""
        batch, soft = given.batch, self.schedule.soft(1.0)
        taught = batch.labels[:, 1:] != IGNORED
        targets = batch.labels[:, 1:][taught][:, None]
        seen = self.body(batch.input_ids, batch.position_ids, batch.document_ids, None, soft)
        with torch.no_grad():
            known = self.reference_body(batch.input_ids, batch.position_ids, batch.document_ids).hidden
            before = self.reference.logits(known[:, :-1][taught]).float().log_softmax(-1).gather(-1, targets)[:, 0]
        new = self.model.logits(seen.hidden[:, :-1][taught]).float().log_softmax(-1).gather(-1, targets)[:, 0]
        shown = given.shown[:, 1:][taught]
        own, old, advantage = ~shown, given.old[:, 1:][taught], given.advantage[:, 1:][taught]
        nothing = new.sum() * 0
        parts = {
            "policy": objectives.policy(new[own], old[own], advantage[own], self.losses.clip) if own.any() else nothing,
            "drift": objectives.drift(new[own], before[own]) if own.any() else nothing,
            "shown": -new[shown].sum() / taught.sum(),
        }
        reach = Reach.of(batch.document_ids, self.config.attention_window, self.schedule.shortest)
        saved = [reach.saved(objectives.kept(g, soft.temperature, True)) for g in seen.gates]
        lacking = objectives.budget(saved, self.schedule.asked(1.0))
        return parts | {"budget": lacking if reach.rows > 0 else nothing}

    def reinforce(self, given: Experience, progress: float, int4: bool) -> dict[str, float]:
        """One step; its losses."""
        given = given.to(self.device)
        with rounded(self.model, self.config.hidden_size, int4):
            with torch.autocast(self.device.type, torch.bfloat16):
                parts = self.parts(given)
                loss = parts["policy"] + self.losses.drift * parts["drift"] + self.losses.shown * parts["shown"]
                loss = loss + self.schedule.budget * parts["budget"]
            torch.autograd.backward(loss)
        self.update(progress)
        return {"loss": self.finite(loss.item())} | {name: value.item() for name, value in parts.items()}
