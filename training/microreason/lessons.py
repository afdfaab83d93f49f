"""Rows for the second stage: solvers' paths, most of them in dialogues long enough for gates to save something.

In a dialogue every reply is taught and every thought stays, so that a row is one long chain of steps. The rest are
conversations as in stage 1, where earlier thoughts are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.common.batches import IGNORED, encode, packed_rows
from training.common.conversation import SYSTEM, Conversation, conversation, reply_text
from training.common.tokenizer import EOS
from youtu_onnx.problems.problem import LANGUAGES, Problem

from .practice import FAMILIES
from .stream import WITHOUT_THINKING, Batch, Shape
from .tasks import Shares, sample

POOL = 400  # rows' worth of conversations made at a time, more or less
IN_DIALOGUES = 0.6  # share of conversations


@dataclass(frozen=True)
class Document:
    """One conversation in tokens. `paths`: the number of the reply that a token belongs to, from 1, 0 for what isn't taught;
    `families`: of each reply."""

    ids: list[int]
    labels: list[int]
    positions: list[int]
    paths: list[int]
    families: list[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Lesson:
    """A batch whose replies are numbered through, from 1: `paths` [B, S] (0 elsewhere), and the family of each."""

    batch: Batch
    paths: Tensor
    families: tuple[str, ...]

    def to(self, device: torch.device) -> Lesson:
        return Lesson(self.batch.to(device), self.paths.to(device), self.families)


def dialogue(words: Tokenizer, problems: list[Problem], opening: str, most: int) -> Document:
    """As many of the problems, in their order, as `most` tokens hold; at least one."""

    def tokens(text: str) -> list[int]:
        ids: list[int] = words.encode(text, add_special_tokens=False).ids
        return ids

    ids, labels, paths, families = tokens(f"<|begin_of_text|>{opening}"), list[int](), list[int](), list[str]()
    labels, paths = [IGNORED] * len(ids), [0] * len(ids)
    for problem in problems:
        asked = tokens(f"<|User|>{problem.prompt}<|Assistant|>")
        said = tokens(f"{reply_text(problem)}{EOS}")
        if families and len(ids) + len(asked) + len(said) > most:
            break
        families.append(problem.family)
        ids += asked + said
        labels += [IGNORED] * len(asked) + said
        paths += [0] * len(asked) + [len(families)] * len(said)
    return Document(ids, labels, list(range(len(ids))), paths, families)


def single(words: Tokenizer, talk: Conversation, family: str, rng: Random, context: int) -> Document:
    ids, labels, positions = encode(words, talk, rng, context)
    return Document(ids, labels, positions, [int(label != IGNORED) for label in labels], [family])


def document(words: Tokenizer, rng: Random, shape: Shape, shares: Shares) -> Document:
    drawn: list[str] = []

    def draw(draws: Random, language: str | None) -> Problem:
        drawn.append(draws.choices(FAMILIES, [shares[f] for f in FAMILIES])[0])
        return sample(draws, 1.0, drawn[-1], language)

    if rng.random() >= IN_DIALOGUES:
        talk = conversation(rng, draw, WITHOUT_THINKING)
        return single(words, talk, drawn[0] if drawn else FAMILIES[-1], rng, shape.context)
    language = rng.choice(LANGUAGES)
    opening = rng.choice(SYSTEM[language]) if rng.random() < 0.12 else ""
    problems = [draw(rng, language if rng.random() < 0.8 else None) for _ in range(12)]
    return dialogue(words, problems, opening, rng.randint(shape.row_length // 2, shape.row_length))


def pool(words: Tokenizer, shape: Shape, seed: int, index: int, shares: Shares) -> list[list[Document]]:
    """The rows of one pool, the same for the same arguments."""
    rng = Random(f"{seed} lessons {index}")
    documents = [document(words, rng, shape, shares) for _ in range(POOL)]
    whole = [(d.ids, d.labels, d.positions, d) for d in documents if len(d) <= shape.row_length]
    rows = [[one[3] for one in row] for row in packed_rows(whole, shape.row_length)]  # type: ignore[arg-type,misc]
    rng.shuffle(rows)
    return rows


def collate(rows: list[list[Document]], row_length: int) -> Lesson:
    size, families = (len(rows), row_length), list[str]()
    ids, positions, documents, paths = (torch.zeros(size, dtype=torch.long) for _ in range(4))
    labels = torch.full(size, IGNORED)
    for b, row in enumerate(rows):
        at = 0
        for number, one in enumerate(row, start=1):
            span = slice(at, at + len(one))
            ids[b, span], labels[b, span] = torch.tensor(one.ids), torch.tensor(one.labels)
            positions[b, span], documents[b, span] = torch.tensor(one.positions), number
            paths[b, span] = torch.tensor([len(families) + p if p else 0 for p in one.paths])
            families += one.families
            at += len(one)
    return Lesson(Batch(ids, labels, positions, documents), paths, tuple(families))


class Lessons:
    """Endless batches; `state` and the arguments give those that would have come next."""

    def __init__(self, words: Tokenizer, shape: Shape, seed: int):
        self.words, self.shape, self.seed = words, shape, seed
        self.index, self.offset, self.shares = -1, 0, dict[str, float]()
        self.rows: list[list[Document]] = []

    @property
    def state(self) -> dict[str, object]:
        return {"index": self.index, "offset": self.offset, "shares": dict(self.shares)}

    def restore(self, state: Mapping[str, object]) -> None:
        self.index, self.offset = int(state["index"]), int(state["offset"])  # type: ignore[call-overload]
        self.shares = dict(state["shares"])  # type: ignore[call-overload]
        self.rows = pool(self.words, self.shape, self.seed, self.index, self.shares) if self.index >= 0 else []

    def next(self, shares: Shares) -> Lesson:
        """The next batch; a pool that is begun now is of these shares."""
        if self.offset + self.shape.rows > len(self.rows):
            self.index, self.offset, self.shares = self.index + 1, 0, dict(shares)
            self.rows = pool(self.words, self.shape, self.seed, self.index, self.shares)
        taken = self.rows[self.offset : self.offset + self.shape.rows]
        self.offset += self.shape.rows
        return collate(taken, self.shape.row_length)
