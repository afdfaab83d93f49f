"""A step of the second stage: solvers' paths and a dense teacher teach a model whose gates learn to shut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from training.common.batches import IGNORED

from . import objectives
from .config import MicroReasonConfig
from .lessons import Lesson
from .model import MicroReasonForCausalLM
from .objectives import Reach
from .practice import Practice
from .rounding import rounded
from .routing import Soft
from .schedule import Schedule
from .trainer import Rates, Trainer


@dataclass(frozen=True)
class Reading:
    """What student and teacher make of the N taught tokens of a lesson: logits [N, V]; and which of them are right, [N]."""

    loss: Tensor
    parts: Mapping[str, Tensor]
    right: Tensor


def exact_paths(right: Tensor, paths: Tensor, count: int) -> Tensor:
    """Which of `count` paths have no wrong token: [N] bool and path numbers from 1, [N]."""
    wrong = torch.zeros(count + 1, dtype=torch.long, device=right.device).index_add(0, paths, (~right).long())
    return wrong[1:] == 0


class Pupil(Trainer):
    """A routed model that begins as `weights`, and the dense model that teaches it."""

    def __init__(
        self,
        config: MicroReasonConfig,
        weights: Mapping[str, Tensor],
        teacher: MicroReasonForCausalLM,
        device: torch.device,
        rates: Rates,
        compiled: bool,
        schedule: Schedule,
    ):
        super().__init__(replace(config, attention_routing=True), config.num_hidden_layers, device, rates, compiled)
        self.model.load_state_dict(dict(weights))
        self.average = {name: w.detach().clone() for name, w in self.model.named_parameters()}
        self.schedule, self.teacher = schedule, teacher.to(device).eval().requires_grad_(False)
        self.teacher_body = self.prepared(self.teacher.model)

    def read(self, lesson: Lesson, soft: Soft, progress: float) -> Reading:
        """All losses of a lesson, and what of it the student would have said itself."""
        batch, schedule = lesson.batch, self.schedule
        taught = batch.labels[:, 1:] != IGNORED
        targets = batch.labels[:, 1:][taught]
        seen = self.body(batch.input_ids, batch.position_ids, batch.document_ids, None, soft)
        with torch.no_grad():
            known = self.teacher_body(batch.input_ids, batch.position_ids, batch.document_ids).hidden
            expected = self.teacher.logits(known[:, :-1][taught]).float()
        logits = self.model.logits(seen.hidden[:, :-1][taught]).float()
        paths, count = lesson.paths, len(lesson.families)
        parts = {
            "next_token": F.cross_entropy(logits, targets),
            "match": objectives.divergence(expected, logits),
            "contrast": objectives.contrast(objectives.pooled(seen.hidden, paths, count), objectives.pooled(known, paths, count)),
        }
        reach = Reach.of(batch.document_ids, self.config.attention_window, schedule.shortest)
        saved = [reach.saved(objectives.kept(g, soft.temperature, soft.straight_through)) for g in seen.gates]
        parts["budget"] = objectives.budget(saved, schedule.asked(progress))
        parts["pairs_saved"], parts["rows_saved"] = (torch.stack([one[i] for one in saved]).mean() for i in (0, 1))
        loss = parts["next_token"] + schedule.match * parts["match"] + schedule.contrast * parts["contrast"]
        return Reading(loss + schedule.budget * parts["budget"], parts, logits.argmax(-1) == targets)

    def teach(self, lesson: Lesson, progress: float, practice: Practice) -> dict[str, float]:
        """One step; its losses. Saved shares are expected ones while gates are soft."""
        lesson = lesson.to(self.device)
        wanted = self.schedule.rounds(progress, self.step)
        with rounded(self.model, self.config.hidden_size, wanted):
            with torch.autocast(self.device.type, torch.bfloat16):
                reading = self.read(lesson, self.schedule.soft(progress), progress)
            torch.autograd.backward(reading.loss)
        self.update(progress)
        paths = lesson.paths[:, 1:][lesson.batch.labels[:, 1:] != IGNORED]
        exact = exact_paths(reading.right, paths, len(lesson.families)).tolist()
        practice.note(lesson.families, exact)
        found = {"loss": self.finite(reading.loss.item())} | {name: value.item() for name, value in reading.parts.items()}
        return found | {"exact": sum(exact) / len(exact)}

    def routed(self, dense: bool = False) -> MicroReasonForCausalLM:
        """A model for measuring with the averaged weights, and with all gates held open where it is to be dense."""
        config: MicroReasonConfig = replace(self.config, attention_routing=not dense)
        model = MicroReasonForCausalLM(config).to(self.device)
        model.load_state_dict(self.average)
        return model.eval()
