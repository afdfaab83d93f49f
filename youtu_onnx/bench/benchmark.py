"""A plan carried out on a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from youtu_onnx.bench.plan import Plan, Trial, random_ids
from youtu_onnx.bench.report import FirstPrompt, Report
from youtu_onnx.bench.samples import Clock, Result, Sample, take_sample, warm_up
from youtu_onnx.bench.sequences import ManySequences, OneSequence, Sequences
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.machine import Machine, memory, peak_bytes, process_age, resident_bytes
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.threads import thread_count
from youtu_onnx.runtimes.providers import providers
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.text import Tokenizer


@dataclass(frozen=True)
class _Opened:
    """A bundle for measuring; ``seconds``: what opening it took; ``threads``: the numbers to measure with, of which the model has
    the first."""

    bundle: Bundle
    model: OrtModel
    threads: tuple[int, ...]
    tokenizer: Tokenizer
    seconds: float


class Benchmark:
    """A bundle opened for measuring. What was measured is in :meth:`report`, even when :meth:`run` was broken off."""

    def __init__(self, opened: _Opened, plan: Plan, choice: ProviderChoice, clock: Clock) -> None:
        self.bundle, self.plan, self._choice, self._clock = opened.bundle, plan, choice, clock
        self._model, self._threads, self._tokenizer = opened.model, opened.threads, opened.tokenizer
        self._load_seconds, self._memory_after_load = opened.seconds, resident_bytes()
        self._first_prompt: FirstPrompt | None = None
        self._samples: dict[tuple[Trial, int], list[Sample]] = {}

    @classmethod
    def open(
        cls,
        path: str | Path,
        plan: Plan,
        choice: ProviderChoice | None = None,
        *,
        progress: Progress | None = None,
        clock: Clock = time.perf_counter,
    ) -> Benchmark:
        """Check the plan, then load the model.

        Args:
            choice: where to run; None takes the provider that the bundle was exported for.

        Raises:
            UsageError: an unknown provider, options that it doesn't have, or a plan that the model or the machine has no
                room for.
            BundleError, ProviderError, ResourceError: as opening a bundle for use raises them.
        """
        choice = choice or ProviderChoice()
        started = clock()
        bundle = Bundle.open(path)
        provider = providers.chosen(choice.name, bundle.manifest.graph.provider)
        plan.check(bundle.manifest, memory()[1] if provider.name == "cpu" else None)
        threads = tuple(dict.fromkeys(plan.threads)) or (thread_count(None),)
        (progress or Silent()).begin("loading the model")
        tokenizer = Tokenizer.open(bundle.path)
        model = OrtModel(bundle, choice.name, threads[0], options=choice.options, require_provider=choice.required)
        return cls(_Opened(bundle, model, threads, tokenizer, clock() - started), plan, choice, clock)

    def run(self, progress: Progress | None = None) -> None:
        """Carry out the plan. Raises what the runtime raises; an interrupt leaves the samples that were taken."""
        progress = progress or Silent()
        for threads in self._threads:
            if threads != self._threads[0]:
                self._reopen(threads, progress)
            for batch, trials in groupby(self.plan.trials, key=lambda trial: trial.batch):
                sequences = self._sequences(batch)
                for trial in trials:
                    self._measure(trial, threads, sequences, progress)
        progress.finish()

    def report(self) -> Report:
        """What was measured until now."""
        results = tuple(Result(trial, threads, tuple(samples)) for (trial, threads), samples in self._samples.items() if samples)
        runs = len(self.plan.trials) * len(self._threads) * self.plan.repetitions
        return Report(
            bundle=self.bundle,
            plan=self.plan,
            machine=Machine.here(),
            provider=self._model.provider.name,
            threads=self._threads[0],
            load_seconds=self._load_seconds,
            memory_after_load=self._memory_after_load,
            peak_memory=peak_bytes(),
            first_prompt=self._first_prompt,
            results=results,
            complete=sum(len(result.samples) for result in results) == runs,
            options=self._choice.options.given(),
            placement=self._model.placement,
            kernels=self._model.kernels,
        )

    def close(self) -> None:
        """Free the model's memory; the report stays."""
        self._model.close()

    def _reopen(self, threads: int, progress: Progress) -> None:
        progress.begin(f"loading the model for {threads} threads")
        self._model.close()  # first, so that there never are two in memory
        self._model = OrtModel(self.bundle, self._model.provider.name, threads, options=self._choice.options)

    def _sequences(self, batch: int) -> Sequences:
        vocab_size = min(self._tokenizer.vocab_size, self.bundle.manifest.model.vocab_size)
        special = frozenset((*self._tokenizer.added.values(), *self.bundle.manifest.model.eos_token_ids))
        length = max(trial.length for trial in self.plan.trials)
        ids = random_ids(batch, length, vocab_size, special)
        sequences = OneSequence(OrtDecoder(self._model), ids) if batch == 1 else ManySequences(self._model, ids)
        return _Witness(sequences, self._clock, self._see_first) if self._first_prompt is None else sequences

    def _see_first(self, seen: FirstPrompt) -> None:
        self._first_prompt = self._first_prompt or seen

    def _measure(self, trial: Trial, threads: int, sequences: Sequences, progress: Progress) -> None:
        samples = self._samples.setdefault((trial, threads), [])
        self._settle(sequences, trial, progress)
        batch = f", batch {trial.batch}" if trial.batch > 1 else ""
        progress.begin(
            f"{trial.label}{batch}, {threads} thread{'' if threads == 1 else 's'}", total=self.plan.repetitions, unit="runs"
        )
        if self.plan.warmup:
            warm_up(trial, sequences)
        for _ in range(self.plan.repetitions):
            samples.append(take_sample(trial, sequences, self._clock))
            progress.advance(1)

    def _settle(self, sequences: Sequences, trial: Trial, progress: Progress) -> None:
        """Bring the cache to the trial's depth: from a lower one by what is missing, from a higher one by dropping."""
        sequences.rewind_to(trial.depth)
        missing = trial.depth - sequences.length
        if missing:
            progress.begin(f"filling the cache to {trial.depth} tokens", total=missing, unit="tok")
        while sequences.length < trial.depth:
            count = min(PREFILL_CHUNK, trial.depth - sequences.length)
            sequences.append(count)
            progress.advance(count)
        sequences.rewind_to(trial.depth)


@dataclass(frozen=True)
class _Witness:
    """Sequences that tell when tokens were through: only a process's first prompt is cold."""

    sequences: Sequences
    clock: Clock
    tell: Callable[[FirstPrompt], None]

    @property
    def length(self) -> int:
        return self.sequences.length

    @property
    def rows(self) -> tuple[int, ...] | None:
        return self.sequences.rows

    def append(self, count: int) -> None:
        started = self.clock()
        self.sequences.append(count)
        self.tell(FirstPrompt(count, self.clock() - started, process_age()))

    def rewind_to(self, length: int) -> None:
        self.sequences.rewind_to(length)
