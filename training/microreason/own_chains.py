"""Dialogues in which a model answers question after question, its own thoughts staying in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tokenizers import Tokenizer

from training.common.batches import IGNORED
from training.common.tokenizer import EOS
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem, final_answer

from . import rollout, sampler
from .lessons import Document
from .model import MicroReasonForCausalLM

SHORTEST, LONGEST = 256, 512
MOST = 320  # tokens of a reply


@dataclass
class Chain:
    """One dialogue: its tokens, the problems that wait, and which of its replies were right."""

    waiting: list[Problem]
    wanted: int
    ids: list[int] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    @property
    def document(self) -> Document:
        """Nothing is taught of it."""
        nothing = [0] * len(self.ids)
        return Document(self.ids, [IGNORED] * len(self.ids), list(range(len(self.ids))), nothing, [])


def begun(count: int, seed: int) -> list[Chain]:
    """Held-out problems of all families, shuffled, in chains that are to be 256 to 512 tokens long."""
    rng, each = Random(f"own chains {seed}"), 10 * count // len(families.MEASURED) + 1
    problems = [p for family in families.MEASURED for p in families.held_out(family, each, seed)]
    rng.shuffle(problems)
    return [Chain(problems[10 * n : 10 * n + 10], rng.randint(SHORTEST, LONGEST - 64)) for n in range(count)]


def grown(model: MicroReasonForCausalLM, words: Tokenizer, chains: Sequence[Chain]) -> list[Chain]:
    """The chains that reached their length and fit: the model answers greedily until then."""
    end, going = rollout.tokens(words, EOS)[0], list(chains)
    while going:
        asked = []
        for one in going:
            ids = rollout.asked(words, one.waiting[:1])[0]
            asked.append(one.ids + (ids[1:] if one.ids else ids))
        for one, ids, reply in zip(going, asked, sampler.replies(model, asked, end, MOST), strict=True):
            problem = one.waiting.pop(0)
            said = words.decode(reply.tokens, skip_special_tokens=False)
            one.right.append(reply.finished and final_answer(said) == problem.answer)
            one.ids = ids + reply.tokens + ([] if reply.finished else [end])
        going = [one for one in going if len(one.ids) < one.wanted and one.waiting]
    return [one for one in chains if SHORTEST <= len(one.ids) <= LONGEST]
