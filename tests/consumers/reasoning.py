"""A tiny MicroReason model for programs in other languages: its bundles, and what training's own model says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from tests.consumer_bundles import Program
from youtu_onnx.core.bundle import names
from youtu_onnx.text import ChatTemplate, Tokenizer

if TYPE_CHECKING:
    from training.microreason.model import MicroReasonForCausalLM

MOST = 24
"""Tokens of a greedy answer: more than the window, so that rows leave while it is written."""
TOLERANCE = 1e-3
"""Largest difference of a logit from training's model, in float32; they are of order 1."""


@dataclass(frozen=True)
class Reasoner:
    """Random weights, so its tokens mean nothing: but they are the same in every program. ``folder`` is the run's."""

    folder: Path
    keep_traces: Callable[[], Path]

    @property
    def checkpoint(self) -> Path:
        from tests.families.microreason.tiny import write_tiny

        path = self.folder / "microreason"
        with FileLock(f"{path}.lock"):
            return path if (path / "config.json").is_file() else write_tiny(path)

    def bundle(self, cache: str = "routed") -> Path:
        """In float32, exported once per run; the masked form with the layout of transformers.js. Read only."""
        from youtu_onnx import export

        path, layout = self.folder / f"microreason-{cache}", "transformers.js" if cache == "masked" else None
        checkpoint = str(self.checkpoint)
        with FileLock(f"{path}.lock"):
            if not (path / names.MANIFEST).is_file():
                self.keep_traces()
                export(checkpoint, path, precision="fp32", cache=cache, layout=layout, verify=False)
        return path

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.open(self.checkpoint)

    def prompt(self, text: str) -> list[int]:
        template = ChatTemplate.open(self.checkpoint, self.tokenizer)
        assert template is not None
        return template.encode_chat([{"role": "user", "content": text}])

    @cached_property
    def model(self) -> MicroReasonForCausalLM:
        from tests.families.microreason.tiny import training_model

        return training_model(self.checkpoint)

    def answer(self, ids: list[int], most: int = MOST) -> list[int]:
        """Greedy tokens, the end token last where it came."""
        import torch

        tokens: list[int] = []
        with torch.no_grad():
            while len(tokens) < most and (not tokens or tokens[-1] != self.tokenizer.eos_id):
                tokens.append(int(self.model(torch.tensor([ids + tokens]))[0, -1].argmax()))
        return tokens

    def logits(self, ids: list[int]) -> np.ndarray:
        """The row that follows, ``[V]``."""
        import torch

        with torch.no_grad():
            row: np.ndarray = self.model(torch.tensor([ids]))[0, -1].numpy()
        return row

    def rows(self, ids: list[int]) -> list[int]:
        """What training's own cache keeps of them, layer by layer."""
        import torch

        from training.microreason.cache import Cache

        cache = Cache()
        with torch.no_grad():
            self.model(torch.tensor([ids]), cache=cache)
        return list(cache.rows)

    @cached_property
    def asked(self) -> list[dict[str, Any]]:
        """Prompts one after another in one cache, with the tokens that follow: a prompt; one that goes on where the first answer
        ended, so that all of the cache stays; one that turns off in its middle, so that none can where rows are gone."""
        first = self.prompt("What is 12 + 30, and why?") + list(range(20, 60))
        longer = first + self.answer(first) + self.prompt("And 7 more?")
        turned = first[:30] + self.prompt("12 + 30")
        return [{"text": "", "ids": ids, "tokens": self.answer(ids)} for ids in (first, longer, turned)]

    def check(self, greedy: list[list[int]], logits: list[list[float]]) -> None:
        """What a program made of :attr:`asked`."""
        assert greedy == [one["tokens"] for one in self.asked]
        for one, row in zip(self.asked, logits, strict=True):
            assert np.abs(np.array(row) - self.logits(one["ids"])).max() < TOLERANCE

    def check_program(self, program: Program, cache: str, folder: Path) -> None:
        """One that answers vectors. ``folder``: for the questions."""
        done = program(self.written(folder / "asked.json"), self.bundle(cache))
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        self.check(found["greedy"], found["logits"])

    def written(self, file: Path) -> Path:
        """:attr:`asked`, in the form of the shared vectors."""
        file.write_text(json.dumps({"texts": [], "literals": [], "chats": [], "greedy": self.asked}), encoding="utf-8")
        return file
