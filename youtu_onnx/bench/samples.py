"""Measured times, and what follows from them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from youtu_onnx.bench.plan import Trial
from youtu_onnx.bench.sequences import Sequences

Clock = Callable[[], float]
"""Seconds, from whenever on; never backwards."""


@dataclass(frozen=True)
class Statistics:
    """Of samples in the order in which they were taken. Medians, because one disturbed run moves a mean at will."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def min(self) -> float:
        return min(self.samples)

    @property
    def max(self) -> float:
        return max(self.samples)

    @property
    def spread(self) -> float:
        """Distance of the extremes, as a share of the median."""
        return (self.max - self.min) / self.median if self.median else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "min": self.min, "max": self.max, "spread": self.spread, "samples": list(self.samples)}


@dataclass(frozen=True)
class Sample:
    """Seconds of one run of a trial, and of its prompt alone (0 without one). ``rows``: that each layer kept at its end of each
    sequence; None where that is one for each token."""

    seconds: float
    prompt_seconds: float
    rows: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Result:
    """A trial's runs, at least one."""

    trial: Trial
    threads: int
    samples: tuple[Sample, ...]

    @property
    def seconds(self) -> Statistics:
        return Statistics(tuple(sample.seconds for sample in self.samples))

    @property
    def tokens_per_second(self) -> Statistics:
        return Statistics(tuple(_rate(self.trial.tokens, sample.seconds) for sample in self.samples))

    @property
    def time_to_first_token(self) -> Statistics | None:
        """Seconds until the prompt's logits were there; None where a trial isn't a prompt and a reply."""
        return Statistics(tuple(sample.prompt_seconds for sample in self.samples)) if self.trial.has_both else None

    @property
    def generation(self) -> Statistics | None:
        """Tokens per second after the first one; None where a trial isn't a prompt and a reply of several tokens."""
        if not self.trial.has_both or not self.trial.steps:
            return None
        tokens = self.trial.batch * self.trial.steps
        return Statistics(tuple(_rate(tokens, sample.seconds - sample.prompt_seconds) for sample in self.samples))

    @property
    def rows(self) -> tuple[int, ...] | None:
        """That each layer kept of each sequence at the end of the last run; None where that is one for each token."""
        return self.samples[-1].rows

    @property
    def rows_kept(self) -> float | None:
        """Of all tokens and layers the part that was kept; None where that is everything."""
        return sum(self.rows) / (len(self.rows) * self.trial.length) if self.rows else None

    def to_dict(self) -> dict[str, Any]:
        first, generation = self.time_to_first_token, self.generation
        return {
            "test": self.trial.name,
            "prompt_tokens": self.trial.prompt_tokens,
            "generated_tokens": self.trial.generated_tokens,
            "depth": self.trial.depth,
            "batch": self.trial.batch,
            "threads": self.threads,
            "tokens_per_second": self.tokens_per_second.to_dict(),
            "seconds": self.seconds.to_dict(),
            "time_to_first_token_seconds": first and first.to_dict(),
            "generation_tokens_per_second": generation and generation.to_dict(),
            "rows_kept": self.rows_kept,
            "rows_by_layer": self.rows and list(self.rows),
        }


def take_sample(trial: Trial, sequences: Sequences, clock: Clock) -> Sample:
    """Run a trial on sequences of its depth; they are back at that depth afterwards, outside the measured time."""
    started = clock()
    if trial.prompt_tokens:
        sequences.append(trial.prompt_tokens)
    prompted = clock()
    for _ in range(trial.steps):
        sequences.append(1)
    ended = clock()
    rows = sequences.rows
    sequences.rewind_to(trial.depth)
    return Sample(ended - started, prompted - started, rows)


def warm_up(trial: Trial, sequences: Sequences) -> None:
    """What llama-bench does before it measures: the whole prompt, and one token where tokens are generated."""
    if trial.prompt_tokens:
        sequences.append(trial.prompt_tokens)
    if trial.steps:
        sequences.append(1)
    sequences.rewind_to(trial.depth)


def _rate(tokens: int, seconds: float) -> float:
    return tokens / max(seconds, 1e-9)  # a clock too coarse for the work would say 0
