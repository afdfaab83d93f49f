"""From conversations to tokens, and from those to rows that hold several of them."""

from __future__ import annotations

from random import Random

from tokenizers import Tokenizer

from .conversation import Conversation

IGNORED = -100
Encoded = tuple[list[int], list[int], list[int]]  # token ids, labels, positions


def encode(tokenizer: Tokenizer, talk: Conversation, rng: Random, context: int) -> Encoded:
    """Token ids, labels (reply only) and positions of one conversation.

    RoPE sees differences only, so shifting a whole conversation teaches nothing. Positions
    therefore jump between turns now and then: a question may follow a history of any length up
    to `context`, without paying for the tokens of one.
    """
    ids, positions, start = list[int](), list[int](), 0
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


def packed_rows(samples: list[Encoded], row_length: int) -> list[list[Encoded]]:
    """Best-fit decreasing: each sample goes to the fullest row that still holds it."""
    by_room: dict[int, list[list[Encoded]]] = {}
    rows: list[list[Encoded]] = []
    for sample in sorted(samples, key=lambda s: -len(s[0])):
        size = len(sample[0])
        room = next((r for r in range(size, row_length) if by_room.get(r)), None)
        if room is None:
            row, room = list[Encoded](), row_length
            rows.append(row)
        else:
            row = by_room[room].pop()
        row.append(sample)
        by_room.setdefault(room - size, []).append(row)
    return rows
