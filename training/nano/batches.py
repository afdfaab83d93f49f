"""Packed training batches: several conversations to a row, none of which sees another."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import torch
from tokenizers import Tokenizer

from training.common.batches import IGNORED, Encoded, encode, packed_rows

from .conversation import conversation

ROW = 128  # tokens in a row; one conversation in 200 is longer and is left out
POOL = 2000  # conversations packed at a time: enough for rows to fill up to 98 %


def collate(rows: list[list[Encoded]], pad: int) -> dict[str, torch.Tensor]:
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
        packed = packed_rows([s for s in samples if len(s[0]) <= ROW], ROW)
        rng.shuffle(packed)
        for at in range(0, len(packed) - rows + 1, rows):
            yield collate(packed[at : at + rows], pad)
