"""An endless stream of packed batches whose place can be written down and found again."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.common.batches import IGNORED, Encoded, encode, packed_rows
from training.common.conversation import conversation

from . import tasks
from .tasks import Shares, sample

POOL = 2000  # conversations packed at a time: enough for rows to fill up to 98 %
WITHOUT_THINKING = 0.02
HISTORY = 0.08  # earlier turns take a row from what is taught; the second stage reads whole dialogues

Rows = list[list[Encoded]]


@dataclass(frozen=True)
class Batch:
    """B rows of S tokens, all [B, S]. `labels` hold IGNORED where nothing is taught; `document_ids` are 0 for padding."""

    input_ids: Tensor
    labels: Tensor
    position_ids: Tensor
    document_ids: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(t.to(device) for t in (self.input_ids, self.labels, self.position_ids, self.document_ids)))


@dataclass(frozen=True)
class Shape:
    """What rows look like: tokens in a row, rows in a batch, and the largest position that a jump may reach."""

    row_length: int
    rows: int
    context: int


def collate(rows: Rows, shape: Shape) -> Batch:
    size = (len(rows), shape.row_length)
    batch = Batch(
        torch.zeros(size, dtype=torch.long), torch.full(size, IGNORED), *(torch.zeros(size, dtype=torch.long) for _ in "pd")
    )
    for b, row in enumerate(rows):
        at = 0
        for number, (ids, labels, positions) in enumerate(row, start=1):
            span = slice(at, at + len(ids))
            batch.input_ids[b, span], batch.labels[b, span] = torch.tensor(ids), torch.tensor(labels)
            batch.position_ids[b, span], batch.document_ids[b, span] = torch.tensor(positions), number
            at += len(ids)
    return batch


def pool(tokenizer: str, shape: Shape, seed: int, index: int, progress: float, shares: Shares) -> Rows:
    """The rows of one pool, the same for the same arguments. `tokenizer` is its JSON, so that another process can be asked."""
    rng, words = Random(f"{seed} pool {index}"), Tokenizer.from_str(tokenizer)

    def draw(draws: Random, language: str | None) -> object:
        return sample(draws, progress, language=language, shares=shares)

    talks = [conversation(rng, draw, WITHOUT_THINKING, HISTORY) for _ in range(POOL)]  # type: ignore[arg-type]
    samples = [encode(words, talk, rng, shape.context) for talk in talks]
    rows = packed_rows([s for s in samples if len(s[0]) <= shape.row_length], shape.row_length)
    rng.shuffle(rows)
    return rows


class Stream:
    """Batches of fresh problems. `state` and the arguments give the batches that would have come next.

    With an executor the next `ahead` pools are made in other processes meanwhile.
    """

    def __init__(self, tokenizer: Tokenizer, shape: Shape, seed: int, executor: Executor | None = None, ahead: int = 0):
        self.make = partial(pool, tokenizer.to_str(), shape, seed)
        self.shape, self.executor, self.ahead = shape, executor, ahead
        self.queue: deque[tuple[int, float, Shares, Future[Rows] | None]] = deque()
        self.rows: Rows | None = None
        self.offset = 0

    @property
    def state(self) -> dict[str, object]:
        return {"pools": [(index, progress, dict(shares)) for index, progress, shares, _ in self.queue], "offset": self.offset}

    def restore(self, state: dict[str, object]) -> None:
        self.queue.clear()
        self.rows, self.offset = None, int(state["offset"])  # type: ignore[call-overload]
        for index, progress, shares in state["pools"]:  # type: ignore[attr-defined]
            self.ask(index, progress, shares)

    def ask(self, index: int, progress: float, shares: Shares) -> None:
        future = self.executor.submit(self.make, index, progress, shares) if self.executor else None
        self.queue.append((index, progress, shares, future))

    def next(self, progress: float, shares: Shares | None = None) -> Batch:
        """The next batch; pools that are begun now are for this `progress` and have these shares of families."""
        shares = tasks.SHARES if shares is None else shares
        while len(self.queue) <= self.ahead:
            self.ask(self.queue[-1][0] + 1 if self.queue else 0, progress, shares)
        if self.rows is None:
            index, then, drawn, future = self.queue[0]
            self.rows = future.result() if future else self.make(index, then, drawn)
        batch = collate(self.rows[self.offset : self.offset + self.shape.rows], self.shape)
        self.offset += self.shape.rows
        if self.offset + self.shape.rows > len(self.rows):
            done = self.queue.popleft()[0]
            self.rows, self.offset = None, 0
            if not self.queue:
                self.ask(done + 1, progress, shares)
        return batch
