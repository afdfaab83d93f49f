"""Does a bundle compute what its checkpoint computes?

Order of work, to bound memory: the bundle runs first and its session is closed; PyTorch then checks the same tokens layer by
layer. Both never are in memory together, and logits are kept for a few positions only, on disk. PyTorch runs twice for integer
bundles: with the checkpoint's weights, and with those that are read back from the bundle's data file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import BundleError, VerificationError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.core.softmax import log_softmax
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.reference import Twin, Weights
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.graphs.rounded import Floats
from youtu_onnx.graphs.stored import StoredGraph
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.verify.difference import TIE, Difference, centre, compare
from youtu_onnx.verify.parity import Parity, PromptParity, gate_of
from youtu_onnx.verify.prompts import encode_prompts
from youtu_onnx.verify.runs import PromptRun, run_bundle
from youtu_onnx.verify.weights import CALIBRATED, ROUNDED, Limits, WeightReport, compare_weights

LONGEST = 128
"""Tokens of a prompt at most."""

STEPS = 16
"""Tokens of the greedy continuation."""


def verify_parity(
    bundle_path: str | Path,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
    *,
    provider: str | None = None,
    options: ProviderOptions | None = None,
) -> Parity:
    """Compare a bundle with PyTorch: its weights one by one, and what it says on real prompts.

    Args:
        provider: to run the bundle on; None takes its target's, or the CPU where that isn't installed.
            ``Parity.provider`` says which it was.
        options: of the provider; None leaves its defaults, but that CUDA computes without TF32.

    Raises:
        BundleError, ProviderError, ResourceError: the bundle can't be run.
        CheckpointError: the checkpoint can't be read.
        VerificationError: the two are not even of one shape.
    """
    progress = progress or Silent()
    bundle = Bundle.open(bundle_path)
    refuse_another_shape(bundle, checkpoint)
    context = bundle.manifest.context_length
    steps = min(STEPS, context // 2)
    prompts = _prompts(bundle, min(LONGEST, context - steps))
    runs, used = run_bundle(bundle, [ids for _, ids in prompts], steps, provider, options, progress)
    stored = StoredGraph.open(bundle)
    recipe = bundle.manifest.recipe
    twin = reference_of(checkpoint.family).twin(stored, bundle.manifest.cache, checkpoint, rescaled=recipe.rescaled)
    limits = CALIBRATED if recipe.compensates else ROUNDED
    weights = _compare_weights(stored, twin, checkpoint, limits, progress)
    comparison = _Comparison(bundle, checkpoint, twin, progress)
    compared, nll, twin_nll = comparison.prompts([text for text, _ in prompts], runs)
    progress.finish()
    return Parity(gate_of(bundle.manifest), used, compared, nll, twin_nll, weights, _rows_kept(runs))


def _rows_kept(runs: Sequence[PromptRun]) -> tuple[float, ...] | None:
    by_layer = [run.rows for run in runs if run.rows is not None]
    tokens = sum(len(run.sequence) for run in runs)
    return tuple(sum(rows) / tokens for rows in zip(*by_layer, strict=True)) or None


def refuse_another_shape(bundle: Bundle, checkpoint: Checkpoint) -> None:
    """
    Raises:
        VerificationError: the bundle was made of a model of other numbers, or an adapter is merged into one of the two alone.
    """
    merged, change = bundle.manifest.source.adapter, checkpoint.change
    if merged is not None and change is None:
        raise VerificationError(
            f"the adapter {merged.name} is merged into {bundle.path}, and not into {checkpoint.name}",
            hint="name it: --adapter DIR",
        )
    if merged is None and change is not None:
        raise VerificationError(f"no adapter is merged into {bundle.path}, and {change.name} was named", hint="drop --adapter")
    one: dict[str, Any] = dict(bundle.manifest.model.record)
    other = checkpoint.architecture.to_dict()
    differing = ", ".join(f"{name} {one[name]} and {other[name]}" for name in one if one[name] != other[name])
    if differing:
        raise VerificationError(
            f"{bundle.path} was made of a model of another shape than {checkpoint.name}: {differing}",
            hint=f"name the checkpoint that it was made of: {bundle.manifest.source.model}",
        )


def _prompts(bundle: Bundle, longest: int) -> list[tuple[str, list[int]]]:
    prompts = encode_prompts(bundle.path, longest=longest)
    largest, vocab_size = max(max(ids) for _, ids in prompts), bundle.manifest.model.vocab_size
    if largest >= vocab_size:
        raise BundleError(
            f"{bundle.path}: the tokenizer gives id {largest}, the model has {vocab_size} tokens",
            hint="export the bundle again, with the model's own tokenizer",
        )
    return prompts


def _compare_weights(stored: StoredGraph, twin: Twin, checkpoint: Checkpoint, limits: Limits, progress: Progress) -> WeightReport:
    numbers = checkpoint.architecture.parameters
    progress.begin("compare the weights", 4 * numbers)
    pieces = twin.comparisons()
    return compare_weights(pieces, checkpoint.tensors, stored.unread, lambda more: progress.advance(4 * more), limits)


class _Comparison:
    """Of what a bundle said with what PyTorch says."""

    def __init__(self, bundle: Bundle, checkpoint: Checkpoint, twin: Twin, progress: Progress) -> None:
        self.manifest, self.checkpoint, self.progress = bundle.manifest, checkpoint, progress
        self.twin = twin if bundle.manifest.recipe.quantized else None  # of floats it is the checkpoint itself

    def prompts(
        self, texts: Sequence[str], runs: Sequence[PromptRun]
    ) -> tuple[tuple[PromptParity, ...], float | None, float | None]:
        """Prompts' parity, and the mean nats per prompt token of the reference and of the bundle."""
        tied = self.checkpoint.architecture.tie_word_embeddings
        again = self.checkpoint.tensors["model.embed_tokens.weight"].nbytes if tied else 0
        self.progress.begin("compare with PyTorch", (self.checkpoint.nbytes + again) * (2 if self.twin else 1))
        prompts: list[PromptParity] = []
        nll: list[float] = []
        twin_nll: list[float] = []
        references = self.reference(runs, None)
        for place, (text, run) in enumerate(zip(texts, runs, strict=True)):
            prompts.append(self.prompt(text, run, references[place]))
            following = run.ids[run.first + 1 :]
            nll += _nll(references[place], following)
            twin_nll += _nll(run.paths["prefill"][1](), following)
        if self.twin is not None:
            del references  # a large vocabulary's logits are the largest thing in memory
            # Prompts that took a path, or an order of attention, that others didn't: the rest would add time, not knowledge.
            some = [i for i, run in enumerate(runs) if len(run.paths) > 2 or self.manifest.graph.expands(len(run.ids))]
            for i, reference in zip(some, self.reference([runs[i] for i in some], self.twin), strict=True):
                prompts[i] = replace(prompts[i], graph=_differences(runs[i], reference))
        return tuple(prompts), float(np.mean(nll)) if nll else None, float(np.mean(twin_nll)) if nll else None

    def prompt(self, text: str, run: PromptRun, reference: Floats) -> PromptParity:
        """Against the checkpoint's weights; of a float bundle that is also what its graph must equal."""
        paths = _differences(run, reference)
        last = len(run.ids) - 1 - run.first  # its row chooses the first greedy token
        chosen = reference[last : last + len(run.greedy)]
        equal = [row[token] >= row.max() - TIE * np.abs(row).max() for row, token in zip(chosen, run.greedy, strict=True)]
        return PromptParity(text, len(run.ids), paths, {} if self.twin else paths, int(sum(equal)), len(equal))

    def reference(self, runs: Sequence[PromptRun], weights: Weights | None) -> list[Floats]:
        """PyTorch's logits from each run's first compared position on."""
        return reference_of(self.checkpoint.family).logits(
            self.checkpoint,
            [run.sequence for run in runs],
            weights=weights,
            keep=[slice(run.first, None) for run in runs],
            on_bytes=self.progress.advance,
        )


def _differences(run: PromptRun, reference: Floats) -> dict[str, Difference]:
    around, found = centre(reference), {}
    for name, (start, read) in run.paths.items():
        logits = read()
        found[name] = compare(reference[start - run.first : start - run.first + len(logits)], logits, around)
    return found


def _nll(logits: Floats, following: Sequence[int]) -> list[float]:
    """Negative log-likelihood, in nats, of the token that follows each position; logits reach further than the prompt."""
    return [-float(log_softmax(row.astype(np.float64))[token]) for row, token in zip(logits, following, strict=False)]
