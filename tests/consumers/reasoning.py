"""A tiny MicroReason model for programs in other languages: its bundles, and what training's own model says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from tests.consumer_bundles import Program
from youtu_onnx.core.bundle import names
from youtu_onnx.text import ChatTemplate, Tokenizer

if TYPE_CHECKING:
    from training.microreason.model import MicroReasonForCausalLM

TEXT = Path(__file__).parents[2] / "docs" / "design.md"
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
        """With a token for each row of the embedding, as programs refuse to write what is none."""
        from tests.families.microreason.tiny import VOCABULARY, write_tiny
        from training.common import tokenizer

        path = self.folder / "microreason"
        with FileLock(f"{path}.lock"):
            if not (path / "tokenizer.json").is_file():
                write_tiny(path)
                generation = json.loads((path / "generation_config.json").read_text(encoding="utf-8"))
                (path / "generation_config.json").write_text(json.dumps(generation | {"max_new_tokens": MOST}), encoding="utf-8")
                built = tokenizer.build([TEXT.read_text(encoding="utf-8")], VOCABULARY)
                assert built.get_vocab_size() == VOCABULARY
                tokenizer.save(built, path, 2048)
        return path

    def bundle(self, cache: str = "routed") -> Path:
        """In float32, exported once per run; the masked form with the layout of transformers.js, the routed one with that of a
        page in the browser. Read only."""
        from youtu_onnx import export

        path, layout = self.folder / f"microreason-{cache}", "transformers.js" if cache == "masked" else "browser"
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
        """Greedy tokens, the end token last where it came. Each is computed from all before it, without a cache."""
        tokens: list[int] = []
        while len(tokens) < most and (not tokens or tokens[-1] != self.tokenizer.eos_id):
            tokens.append(int(self.logits(ids + tokens).argmax()))
        return tokens

    def logits(self, ids: list[int]) -> np.ndarray:
        """The row that follows, ``[V]``."""
        with _one_thread() as torch:
            row: np.ndarray = self.model(torch.tensor([ids]))[0, -1].numpy()
        return row

    def rows(self, ids: list[int]) -> list[int]:
        """What training's own cache keeps of them, layer by layer."""
        from training.microreason.cache import Cache

        cache = Cache()
        with _one_thread() as torch:
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


@contextmanager
def _one_thread() -> Iterator[ModuleType]:
    """torch, for matrices so tiny that a second thread costs more than it brings."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield torch
    finally:
        torch.set_num_threads(threads)


def bytes_of_27m(folder: Path) -> tuple[int, int, int]:
    """Of the preset of 27 million parameters, routed and in int4: bytes of its weights, and of its graph when compressed, and
    tokens of its vocabulary. No weight is rounded for that: the recipe says how many bytes they are."""
    import onnx_ir as ir
    import torch

    from tests.families.microreason.tiny import TEXT as FEW
    from training.common import tokenizer
    from training.microreason.config import PRESETS
    from training.microreason.model import MicroReasonForCausalLM
    from training.microreason.package import save
    from youtu_onnx.core.progress import Silent
    from youtu_onnx.core.recipe import Recipe
    from youtu_onnx.core.target import target
    from youtu_onnx.exporters.assemble import assemble
    from youtu_onnx.exporters.weights import packed_bytes
    from youtu_onnx.families.checkpoint import Checkpoint

    shape = replace(PRESETS["27m"], attention_routing=True)
    with torch.device("meta"):
        empty = MicroReasonForCausalLM(shape).state_dict()
    zeros = {name: torch.zeros(tensor.shape) for name, tensor in empty.items()}
    save(zeros, shape, tokenizer.build([FEW], 400), folder / "27m")
    recipe = Recipe("int4").for_width(shape.hidden_size)
    assembly = assemble(Checkpoint.open(folder / "27m"), recipe, target("cpu"), "routed", Silent())
    graph = ir.to_proto(assembly.model).SerializeToString()
    return packed_bytes(assembly), len(gzip.compress(graph)), shape.vocab_size
