"""What a benchmark measures: every combination of lengths, depths and batches, known to fit before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.memory import step_bytes

SCENARIOS: Mapping[str, tuple[int, int]] = {"qa": (32, 128), "math": (64, 256), "code": (48, 200), "chat": (128, 150)}
"""Name → tokens of the prompt and of the reply."""

SEED = 20260101
"""Of the random token ids: every run of a plan computes the same tokens."""


@dataclass(frozen=True)
class Trial:
    """One test. ``batch`` sequences hold ``depth`` tokens each; then a prompt is computed, then tokens one by one.

    ``ppN`` has no generated tokens, ``tgN`` no prompt. With both, the prompt's logits give the first of the generated
    tokens, as they do in use, and ``generated_tokens - 1`` steps the others. All counts are of one sequence.
    """

    name: str
    prompt_tokens: int
    generated_tokens: int
    depth: int = 0
    batch: int = 1

    @property
    def steps(self) -> int:
        """Steps of one token each."""
        return self.generated_tokens - 1 if self.has_both else self.generated_tokens

    @property
    def has_both(self) -> bool:
        return self.prompt_tokens > 0 and self.generated_tokens > 0

    @property
    def tokens(self) -> int:
        """What a rate counts, over all sequences: prompt and generated tokens, without the depth."""
        return self.batch * (self.prompt_tokens + self.generated_tokens)

    @property
    def length(self) -> int:
        """Tokens in a sequence's cache at the end."""
        return self.depth + self.prompt_tokens + self.steps

    @property
    def label(self) -> str:
        """``tg128 @ d512``, as llama-bench writes it."""
        return f"{self.name} @ d{self.depth}" if self.depth else self.name


@dataclass(frozen=True)
class Plan:
    """Lists to combine. ``threads`` empty: the number that a session takes by itself. Duplicates count once.

    Raises:
        UsageError: a number that can't be, an unknown scenario, or nothing to measure.
    """

    prompts: tuple[int, ...] = (512,)
    generate: tuple[int, ...] = (128,)
    depths: tuple[int, ...] = (0,)
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = ()
    scenarios: tuple[str, ...] = ()
    repetitions: int = 5
    warmup: bool = True

    def __post_init__(self) -> None:
        listed = {
            "--prompt": (self.prompts, 0),
            "--generate": (self.generate, 0),
            "--depth": (self.depths, 0),
            "--batch": (self.batches, 1),
            "--threads": (self.threads, 1),
            "--repetitions": ((self.repetitions,), 1),
        }
        for option, (numbers, least) in listed.items():
            wrong = next((one for one in numbers if one < least), None)
            if wrong is not None:
                raise UsageError(f"{option} {wrong} can't be measured", hint=f"pass numbers from {least}")
        unknown = next((one for one in self.scenarios if one not in SCENARIOS), None)
        if unknown is not None:
            raise UsageError(f"unknown scenario {unknown!r}", hint=f"choose among: {', '.join(SCENARIOS)}")
        if not self.trials:
            raise UsageError(
                "nothing to measure: no prompt, no generated tokens, no scenario",
                hint="pass --prompt or --generate above 0, or a --scenario",
            )

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Batch by batch and depth by depth, so that one filling of the cache serves all tests at a depth."""
        kinds = [(f"pp{count}", count, 0) for count in self.prompts if count]
        kinds += [(f"tg{count}", 0, count) for count in self.generate if count]
        kinds += [(name, *SCENARIOS[name]) for name in self.scenarios]
        made = (Trial(*kind, depth=depth, batch=batch) for batch in self.batches for depth in self.depths for kind in kinds)
        return tuple(dict.fromkeys(made))

    def check(self, manifest: Manifest, memory: int | None = None) -> None:
        """See that a bundle can run it all.

        Args:
            memory: bytes that are available; None where the cache lies elsewhere.

        Raises:
            UsageError: a trial beyond the context, or one that surely needs more memory.
        """
        context = manifest.context_length
        for trial in self.trials:
            if trial.length > context:
                raise UsageError(
                    f"{trial.label} needs {trial.length:,} tokens, more than the model's context of {context:,}",
                    hint=f"choose --depth, --prompt and --generate that stay within {context:,} together",
                )
            least = least_memory(trial, manifest)
            if memory is not None and least > memory:
                raise UsageError(
                    f"{trial.label} in a batch of {trial.batch:,} needs {least / 1e9:.1f} GB at least, "
                    f"and {memory / 1e9:.1f} GB are available",
                    hint="choose a smaller --batch or --depth, or close other programs",
                )


def least_memory(trial: Trial, manifest: Manifest) -> int:
    """Bytes that a trial takes: weights, caches, and what its smallest step computes, one token of each sequence.

    Several sequences have their caches twice, since a step reads the past and writes the present; a single one can grow in
    place. A static cache has its length from the first token on.
    """
    copies = 2 if trial.batch > 1 else 1
    tokens = manifest.cache.length or trial.length
    cache = copies * tokens * manifest.cache.bytes_per_token
    return manifest.files[names.MODEL_DATA].size + trial.batch * (cache + step_bytes(manifest, tokens=tokens, new=1))


def random_ids(batch: int, length: int, vocab_size: int, excluded: frozenset[int]) -> np.ndarray:
    """``[batch, length]`` int64, uniform among the ids that aren't excluded; the same with every call."""
    allowed = np.setdiff1d(np.arange(vocab_size), np.array(sorted(excluded), np.int64))
    return np.random.default_rng(SEED).choice(allowed, (batch, length)).astype(np.int64)
