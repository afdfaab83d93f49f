"""What a training or test problem is, and which problems are never trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

LANGUAGES = ("en", "zh")

# One problem in ten is kept for measuring; the choice depends on the problem alone, so it is
# the same on every machine and needs no stored list.
HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class Problem:
    """One question with its derivation and its only accepted answer.

    `key` names the problem without its wording or language ("add:12:7"): the split is made on
    it, so a held-out problem is unseen in every phrasing and in both languages.
    `answer` is None where no single reply is right (small talk); `reply` is then what is taught.
    """

    family: str
    kind: str
    language: str
    key: str
    prompt: str
    thought: str
    answer: str | None
    reply: str = ""

    @property
    def final(self) -> str:
        """The text taught after the derivation."""
        return self.reply if self.answer is None else self.answer


def is_held_out(key: str) -> bool:
    """True when the problem named by `key` must never be trained on."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_ONE_IN == 0


def final_answer(text: str) -> str:
    """The part of a reply that counts: what follows the last `</think>`, stripped."""
    return text.rsplit("</think>", 1)[-1].replace("<|end_of_text|>", "").strip()


def is_correct(text: str, answer: str) -> bool:
    """Exact comparison of a reply's final answer; no partial credit."""
    return final_answer(text) == answer
