"""Packed training batches: several conversations to a row, none of which sees another."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import torch
from tokenizers import Tokenizer

from .conversation import Conversation, conversation

ROW = 128  # tokens in a row; one conversation in 200 is longer and is left out
IGNORED = -100
POOL = 2000  # conversations packed at a time: enough for rows to fill up to 98 %


Sample = tuple[list[int], list[int], list[int]]
"""Token ids, labels and positions."""


def encode(tokenizer: Tokenizer, talk: Conversation, rng: Random, context: int) -> Sample:
    """Token ids, labels (reply only) and positions of one conversation.

    RoPE sees differences only, so shifting a whole conversation teaches nothing. Positions
    therefore jump between turns now and then: a question may follow a history of any length up
    to `context`, without paying for the tokens of one.
    """
    ids: list[int] = []
    positions: list[int] = []
    start = 0
    pieces = [e.ids for e in tokenizer.encode_batch([*talk.turns, talk.reply], add_special_tokens=False)]
    spare = context - sum(map(len, pieces))
    for index, piece in enumerate(pieces):
        if 0 < index < len(pieces) - 1 and rng.random() < 0.25:
            jump = rng.randint(0, spare)
            start, spare = start + jump, spare - jump
        ids += piece
        positions += range(start, start + len(piece))
        start += len(piece)
    reply = len(pieces[-1])
    return ids, [IGNORED] * (len(ids) - reply) + pieces[-1], positions


def packed_rows(samples: list[Sample]) -> list[list[Sample]]:
    """Best-fit decreasing: each sample goes to the fullest row that still holds it."""
    by_room: dict[int, list[list[Sample]]] = {}
    rows: list[list[Sample]] = []
    for sample in sorted(samples, key=lambda s: -len(s[0])):
        size = len(sample[0])
        room = next((r for r in range(size, ROW) if by_room.get(r)), None)
        if room is None:
            rows.append([])
            row, room = rows[-1], ROW
        else:
            row = by_room[room].pop()
        row.append(sample)
        by_room.setdefault(room - size, []).append(row)
    return rows


def collate(rows: list[list[Sample]], pad: int) -> dict[str, torch.Tensor]:
    """Tensors of B rows: ids, labels and positions [B, S], and the mask [B, 1, S, S], true where a token may look."""
    shape = (len(rows), ROW)
    ids, labels = torch.full(shape, pad), torch.full(shape, IGNORED)
    positions, owner = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1)
    for b, row in enumerate(rows):
        at = 0
        for number, (tokens, targets, places) in enumerate(row):
            span = slice(at, at + len(tokens))
            ids[b, span], labels[b, span] = torch.tensor(tokens), torch.tensor(targets)
            positions[b, span], owner[b, span] = torch.tensor(places), number
            at += len(tokens)
    causal = torch.ones(ROW, ROW, dtype=torch.bool).tril()
    mask = (owner[:, None, :, None] == owner[:, None, None, :]) & causal
    return {"input_ids": ids, "labels": labels, "position_ids": positions, "attention_mask": mask}


def batches(tokenizer: Tokenizer, rng: Random, rows: int, context: int, pad: int) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches of fresh conversations; nothing is seen twice except by chance."""
    while True:
        samples = [encode(tokenizer, conversation(rng), rng, context) for _ in range(POOL)]
        packed = packed_rows([s for s in samples if len(s[0]) <= ROW])
        rng.shuffle(packed)
        for at in range(0, len(packed) - rows + 1, rows):
            yield collate(packed[at : at + rows], pad)
