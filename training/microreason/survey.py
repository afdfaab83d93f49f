"""What a model makes of held-out dialogues when each token is told the true path before it: quick, for the log of a run.

Greedy decoding follows a solver's path exactly where no token of it is wrong here, so the share of exact replies is what
greedy decoding reaches at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer

from training.common.batches import IGNORED
from youtu_onnx.problems import families

from .lessons import Document, Lesson, collate, dialogue
from .model import MicroReasonForCausalLM
from .objectives import Reach
from .pupil import exact_paths
from .routing import Soft

ROWS = 8


@dataclass(frozen=True)
class Survey:
    """Shares: exact replies by family and of all; of attended pairs and cached rows, what each layer's gates save in long
    dialogues (hard ones; empty for a dense model)."""

    exact: dict[str, float]
    pairs_saved: tuple[float, ...]
    rows_saved: tuple[float, ...]


def dialogues(words: Tokenizer, count: int, seed: int, most: int) -> list[Document]:
    """Held-out problems, `count` of each family, in dialogues of up to `most` tokens; longer problems are left out."""
    problems = [p for family in families.MEASURED for p in families.held_out(family, count, seed)]
    Random(seed).shuffle(problems)
    found, at = list[Document](), 0
    while at < len(problems):
        one = dialogue(words, problems[at:], "", most)
        at += len(one.families)
        if len(one) <= most:
            found.append(one)
    return found


def lessons(documents: Sequence[Document], row_length: int) -> list[Lesson]:
    rows = [[one] for one in documents]
    return [collate(rows[at : at + ROWS], row_length) for at in range(0, len(rows), ROWS)]


@torch.inference_mode()
def survey(model: MicroReasonForCausalLM, given: Sequence[Lesson], shortest: int, soft: Soft | None = None) -> Survey:
    """`soft`: gates as they are trained, where the model is routed."""
    device, marks = model.model.embed_tokens.weight.device, dict[str, list[bool]]()
    saved = list[list[tuple[float, float]]]()
    for lesson in (one.to(device) for one in given):
        batch = lesson.batch
        with torch.autocast(device.type, torch.bfloat16):
            seen = model.model(batch.input_ids, batch.position_ids, batch.document_ids, None, soft)
            taught = batch.labels[:, 1:] != IGNORED
            right = model.logits(seen.hidden[:, :-1][taught]).argmax(-1) == batch.labels[:, 1:][taught]
        exact = exact_paths(right, lesson.paths[:, 1:][taught], len(lesson.families)).tolist()
        for family, one in zip(lesson.families, exact, strict=True):
            marks.setdefault(family, []).append(one)
            marks.setdefault("all", []).append(one)
        reach = Reach.of(batch.document_ids, model.config.attention_window, shortest)
        pairs, rows = reach.pairs.item(), reach.rows.item()
        each = [[x.item() for x in reach.saved((g > 0).float())] for g in seen.gates]
        saved.append([(p * pairs, r * rows) for p, r in each] + [(pairs, rows)])
    totals = [(sum(x[i][0] for x in saved), sum(x[i][1] for x in saved)) for i in range(len(saved[0]))]
    *layers, (pairs, rows) = totals
    return Survey(
        {name: sum(row) / len(row) for name, row in marks.items()},
        tuple(p / max(pairs, 1) for p, _ in layers),
        tuple(r / max(rows, 1) for _, r in layers),
    )
