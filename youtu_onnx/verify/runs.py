"""A bundle is run in every way that a program may run it; what it said is kept on disk.

The paths are those of :mod:`youtu_onnx.verify.parity`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.progress import Progress
from youtu_onnx.graphs.rounded import Floats
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.batch_model import BatchModel
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.session import AS_IT_IS, natively
from youtu_onnx.runtimes.providers.cpu import CPU
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.providers import provider as provider_called
from youtu_onnx.verify.provider import exact_options, usable_provider

Integers = NDArray[np.int64]

KEPT = 16
"""Last positions of a prompt whose logits are compared."""

CHUNK = 7
"""Tokens of a step in the ``chunks`` path: odd, so that its last step is shorter."""

SLOW = 2
"""Shortest prompts that also go through the ``chunks`` and ``tokens`` paths, which cost a step of the model each."""

BATCHED = 3
"""Shortest prompts that make the ``batch`` path."""


@dataclass
class PromptRun:
    """What one prompt's runs gave. ``paths``: name → (first position, reader of the logits ``[N, V]`` from there on). ``rows``:
    those that each layer kept of ``sequence``; None where that is one for each token."""

    ids: list[int]
    spool: Spool
    greedy: list[int] = field(default_factory=list)
    rows: tuple[int, ...] | None = None
    paths: dict[str, tuple[int, Callable[[], Floats]]] = field(default_factory=dict)

    def keep(self, path: str, first: int, logits: Floats) -> None:
        self.paths[path] = (first, self.spool.put(logits))

    @property
    def first(self) -> int:
        """The first position that is compared."""
        return max(0, len(self.ids) - KEPT)

    @property
    def sequence(self) -> list[int]:
        """All tokens that went in: the prompt and the continuation but for its last token."""
        return self.ids + self.greedy[:-1]


class Spool:
    """Logits on disk until they are compared: those of a large vocabulary would outweigh all else beside the session."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the readers that it gave

    def put(self, array: Floats) -> Callable[[], Floats]:
        """Write an array; the result reads it back."""
        offset = self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(array).data.cast("B"))

        def read() -> Floats:
            self._file.seek(offset)
            return np.frombuffer(self._file.read(array_bytes), dtype).reshape(shape)

        array_bytes, dtype, shape = array.nbytes, array.dtype, array.shape
        return read


def run_bundle(
    bundle: Bundle,
    prompts: Sequence[list[int]],
    steps: int,
    provider: str | None,
    options: ProviderOptions | None,
    progress: Progress,
) -> tuple[list[PromptRun], str]:
    """Every prompt greedily, some by the other paths, too; and the name of the provider that ran them.

    Args:
        steps: tokens of the greedy continuation.
        provider: None takes the target's, or the CPU where that isn't installed.

    Raises:
        BundleError, ProviderError, ResourceError: the bundle can't be run.
    """
    spool = Spool()
    runs = [PromptRun(ids, spool) for ids in prompts]
    by_length = sorted(runs, key=lambda run: len(run.ids))
    shortest, batch = by_length[:SLOW], by_length[:BATCHED]
    total = (
        sum(len(t.ids) + steps for t in runs)
        + 2 * sum(len(t.ids) for t in shortest)
        + len(batch) * max(len(t.ids) for t in batch)
    )
    used = provider or usable_provider(bundle)
    slots = bundle.manifest.slots is not None and provider_called(used).name == "cpu"
    total += sum(len(t.ids) + steps - 1 for t in batch) if slots else 0
    progress.begin("run the bundle", total, "tok")
    model = OrtModel(bundle, used, options=exact_options(options, used), find=lambda _: None)  # the bundle's own graph
    try:
        for run in runs:
            _run_greedy(model, run, steps, progress.advance)
        for run in shortest:
            for path, size in (("chunks", CHUNK), ("tokens", 1)):
                run.keep(path, run.first, _run_in_steps(model, run, size, progress.advance))
        _run_batch(model, batch, progress.advance)
    finally:
        model.close()
    if slots:
        _run_slots(bundle, batch, progress.advance)
    if provider_called(used) is CPU:
        _run_native(bundle, [by_length[0], by_length[-1]], progress.advance)
    return runs, model.provider.name


def _run_greedy(model: OrtModel, run: PromptRun, steps: int, advance: Callable[[int], None]) -> None:
    """Paths ``prefill`` and ``decode``."""
    length = len(run.ids)
    logits, past = model.run(*_inputs(run.ids, 0), None)
    run.keep("prefill", run.first, logits[0, run.first :])
    rows = [logits[0, -1].copy()]  # a view would keep all positions' logits
    advance(length)
    for _ in range(steps):
        run.greedy.append(int(rows[-1].argmax()))
        if len(run.greedy) == steps:
            break
        logits, past = model.run(*_inputs(run.greedy[-1:], length + len(run.greedy) - 1), past)
        rows.append(logits[0, -1])
        advance(1)
    advance(1)
    run.rows = model.bundle.manifest.cache.rows_by_layer([value.shape()[2] for value in past])
    if len(rows) > 1:
        run.keep("decode", length, np.stack(rows[1:]))


def _run_in_steps(model: OrtModel, run: PromptRun, size: int, advance: Callable[[int], None]) -> Floats:
    """Logits of the prompt's compared positions, ``size`` tokens a step."""
    kept, past = [], None
    for start in range(0, len(run.ids), size):
        part = run.ids[start : start + size]
        logits, past = model.run(*_inputs(part, start), past)
        kept.append(logits[0, max(0, run.first - start) :].copy())
        advance(len(part))
    return np.concatenate(kept)


def _run_batch(model: OrtModel, runs: Sequence[PromptRun], advance: Callable[[int], None]) -> None:
    """Path ``batch``: the prompts padded on the left, then the first greedy token of each."""
    width = max(len(run.ids) for run in runs)
    prompts, mask, past = model.run_batch([run.ids for run in runs], pad_id=0)
    kept = [prompts[row, width - (len(run.ids) - run.first) :].copy() for row, run in enumerate(runs)]
    del prompts
    advance(width * len(runs))
    ids = np.array([run.greedy[:1] for run in runs])
    mask = np.concatenate([mask, np.ones_like(ids)], 1)
    positions = np.array([[len(run.ids)] for run in runs])
    logits, _ = model.run(ids, mask, positions, past)
    for row, run in enumerate(runs):
        rows = [kept[row], logits[row]] if len(run.greedy) > 1 else [kept[row]]
        run.keep("batch", run.first, np.concatenate(rows))


def _run_slots(bundle: Bundle, runs: Sequence[PromptRun], advance: Callable[[int], None]) -> None:
    """Path ``slots``, of the batch graph: the sequences join one after the other, in slots far apart, and go on together."""
    model = BatchModel(bundle, options=AS_IT_IS, find=lambda _: None)  # the bundle's own graph
    try:
        caches = [model.new_cache() for _ in runs]
        rows: list[list[Floats]] = [[] for _ in runs]
        slots = [place * (model.count - 1) // max(len(runs) - 1, 1) for place in range(len(runs))]  # every branch is taken
        for step in range(len(runs) + len(runs[0].greedy) - 1):
            going = [place for place, run in enumerate(runs[:step]) if len(rows[place]) < len(run.greedy)]
            tokens = {slots[place]: (caches[place], runs[place].greedy[len(rows[place]) - 1]) for place in going}
            joins = runs[step] if step < len(runs) else None
            logits = model.step(tokens, Chunk(caches[step], joins.ids, True) if joins else None)
            for place, row in zip((*going, *([step] if joins else [])), logits, strict=True):
                rows[place].append(row)
            advance(len(tokens) + (len(joins.ids) if joins else 0))
    finally:
        model.close()
    for run, kept in zip(runs, rows, strict=True):
        run.keep("slots", len(run.ids) - 1, np.stack(kept))


def _run_native(bundle: Bundle, runs: Sequence[PromptRun], advance: Callable[[int], None]) -> None:
    """Path ``native``: prompts and their continuations with the native operators, where these are installed and have a part."""
    if not natively():
        return
    try:
        model = OrtModel(bundle, CPU.name, options=ProviderOptions(kernels="native"), find=lambda _: None)
    except UsageError:  # they compute nothing of it
        return
    try:
        for run in {id(one): one for one in runs}.values():
            logits, past = model.run(*_inputs(run.ids, 0), None)
            rows = [logits[0, run.first :].copy()]
            for count, token in enumerate(run.greedy[:-1]):
                logits, past = model.run(*_inputs([token], len(run.ids) + count), past)
                rows.append(logits[0])
            run.keep("native", run.first, np.concatenate(rows))
            advance(len(run.sequence))
    finally:
        model.close()


def _inputs(ids: Sequence[int], length: int) -> tuple[Integers, Integers, Integers]:
    """ids ``[1, S]``, mask ``[1, T]`` and positions ``[1, S]`` of tokens after ``length`` others."""
    total = length + len(ids)
    return np.array([ids], np.int64), np.ones((1, total), np.int64), np.arange(length, total, dtype=np.int64)[None]
