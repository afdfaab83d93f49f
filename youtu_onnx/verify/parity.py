"""The result of comparing a bundle with PyTorch, and the limits it must keep within.

The bundle runs in every way that a program may run it (``paths``), and each is compared with PyTorch's teacher-forced
logits of the same tokens:

- ``prefill``: a prompt in one step; ``chunks``: in several; ``tokens``: one token a step;
- ``decode``: the bundle's own greedy continuation, a token a step;
- ``batch``: prompts of different lengths, padded on the left, and one step after;
- ``slots``: the batch graph, where there is one: prompts join one after the other while those before them go on;
- ``native``: a prompt and its continuation with this project's own operators, where they are installed.

Three questions, since one number can't answer all:

- **Are the weights the checkpoint's?** Each tensor in the data file is compared with it (:mod:`youtu_onnx.verify.weights`).
- **Is the graph right?** Compared with PyTorch *with the weights read back from the bundle's data file* (``graph``): what remains
  is the arithmetic of the graph. Binds every bundle, of trained and of random weights alike.
- **What did rounding the weights cost?** Compared with PyTorch with the checkpoint's own weights. Limits bind where the
  reference is confident, that is, decided at half of its continuation's steps or more (youtu-nano: 95 %): deep random
  weights (5 to 25 %) damp no error, so int4 alone takes a 24-layer model of them to a KL share of 0.3 to 1, however right
  the graph is. Unrelated logits have a KL share of 2.

For float precisions the last two are the same.

The limits lie between what was measured and what is wrong, worst path and block size each:

| | graph: relative error, correlation | KL share |
|---|---|---|
| youtu-nano, fp32 | 1e-6, 1.00000 | 4e-13 |
| youtu-nano, fp16 | 0.0005, 1.00000 | 4e-7 |
| youtu-nano, int8 | 0.014, 0.9998 | 2e-4 |
| youtu-nano, int4 | 0.017, 0.9997 | 0.015 (0.008 in blocks of 32) |
| random weights, 24 layers, fp16 | 0.0024, 1.00000 | 6e-6 |
| random weights, 24 layers, int8 | 0.091, 0.995 | 0.016 |
| random weights, 24 layers, int4 | 0.10, 0.994 | 0.93 |
| youtu-nano, int4, down_proj of two middle layers swapped | 0.40, 0.86 | 0.11 |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.core.recipe import Precision
from youtu_onnx.verify.difference import Difference
from youtu_onnx.verify.weights import WeightReport

PATHS = ("prefill", "chunks", "tokens", "decode", "batch", "slots", "native")
CONFIDENT = 0.5


@dataclass(frozen=True)
class Gate:
    """Limits of one precision; None means that the measure is reported only. See :mod:`youtu_onnx.verify.difference`.

    ``max_abs_share``, ``relative_error``, ``correlation`` and ``top1`` are limits on the graph, for each path;
    ``kl_share`` (for each path) and ``decided_top1`` (over all) are limits on what rounding cost.
    """

    max_abs_share: float | None = None
    relative_error: float | None = None
    correlation: float | None = None
    top1: float | None = None
    kl_share: float | None = None
    decided_top1: float | None = None


GATES: Mapping[Precision, Gate] = {
    "fp32": Gate(max_abs_share=1e-4, correlation=0.9999, top1=1.0),  # logits of order 10: at most 1e-3 off
    "fp16": Gate(relative_error=0.02, correlation=0.999, kl_share=1e-4, decided_top1=0.99),
    "int8": Gate(relative_error=0.2, correlation=0.98, kl_share=0.01, decided_top1=0.95),
    "int4": Gate(relative_error=0.2, correlation=0.98, kl_share=0.15, decided_top1=0.8),
}


def gate_of(manifest: Manifest) -> Precision:
    """The precision whose limits a bundle has to keep: its recipe's, or fp16's where only the cache is in half precision."""
    precision = manifest.recipe.precision
    return "fp16" if precision == "fp32" and manifest.cache.dtype == "float16" else precision


@dataclass(frozen=True)
class PromptParity:
    """One prompt: its length in tokens, the difference by each path that it took, and the greedy continuation.

    ``paths``: from PyTorch with the checkpoint's weights; ``graph``: from PyTorch with the bundle's, empty where this
    prompt was not run with them. ``greedy_equal`` of ``greedy_steps`` tokens are PyTorch's first choice too, given the
    bundle's tokens before them.
    """

    prompt: str
    tokens: int
    paths: Mapping[str, Difference]
    graph: Mapping[str, Difference]
    greedy_equal: int
    greedy_steps: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt,
            "tokens": self.tokens,
            "greedy_equal": self.greedy_equal,
            "greedy_steps": self.greedy_steps,
            "paths": {name: found.to_dict() for name, found in self.paths.items()},
        }


@dataclass(frozen=True)
class Parity:
    """A bundle against PyTorch.

    Attributes:
        precision: names the gate, see :func:`gate_of`.
        provider: that ran the bundle.
        reference_nll, bundle_nll: mean nats per prompt token that each gives to the prompts; None where no prompt is
            longer than one token.
        weights: what the bundle stores against the checkpoint's tensors.
        rows_kept: of the tokens of all prompts and their continuations, which part each layer keeps in the cache; None where that
            is all.
    """

    precision: Precision
    provider: str
    prompts: tuple[PromptParity, ...]
    reference_nll: float | None
    bundle_nll: float | None
    weights: WeightReport = field(default_factory=WeightReport)
    rows_kept: tuple[float, ...] | None = None
    _gates: Mapping[Precision, Gate] = field(default_factory=lambda: GATES, repr=False)

    @property
    def paths(self) -> dict[str, Difference]:
        """Differences by path from PyTorch with the checkpoint's weights, over all prompts."""
        return _by_path([prompt.paths for prompt in self.prompts])

    @property
    def graph(self) -> dict[str, Difference]:
        """Differences by path from PyTorch with the weights as the bundle stores them."""
        return _by_path([prompt.graph for prompt in self.prompts])

    @property
    def total(self) -> Difference:
        return sum(self.paths.values(), Difference())

    @property
    def confident(self) -> bool:
        """Whether the reference is decided at half of the continuation's steps; see above."""
        steps = self.paths.get("decode", self.total)
        return steps.decided >= CONFIDENT * steps.positions

    @property
    def greedy_agreement(self) -> float:
        steps = sum(prompt.greedy_steps for prompt in self.prompts)
        return sum(prompt.greedy_equal for prompt in self.prompts) / steps if steps else 1.0

    @property
    def gate(self) -> Gate:
        return self._gates[self.precision]

    @property
    def faults(self) -> tuple[str, ...]:
        """What is outside the gate, in words; empty where all is well."""
        gate, faults = self.gate, list(self.weights.faults)
        for path, found in self.graph.items():
            limits = (
                _above("max |Δlogit| over the largest logit", found.max_abs_share, gate.max_abs_share),
                _above("relative error of the logits", found.relative_error, gate.relative_error),
                _below("correlation of the logits", found.correlation, gate.correlation),
                _below("top-1 agreement", found.top1, gate.top1),
            )
            faults += [f"{path}: {fault} (against PyTorch with the same stored weights)" for fault in limits if fault]
        if self.confident:
            lost = ((path, _above("KL share", found.kl_share, gate.kl_share)) for path, found in self.paths.items())
            faults += [f"{path}: {fault} (against PyTorch with the checkpoint's weights)" for path, fault in lost if fault]
        total = self.total
        decided = _below("top-1 agreement where PyTorch is decided", total.decided_top1, gate.decided_top1)
        if self.confident and decided:
            faults.append(decided)
        if not total.positions or not self.graph:
            faults.append("nothing was compared")
        return tuple(faults)

    @property
    def passed(self) -> bool:
        return not self.faults

    def summary(self) -> str:
        """One line for people."""
        total = self.total
        verdict = "equal to PyTorch" if self.passed else "NOT equal to PyTorch"
        error = f"max |Δlogit| {total.max_abs:.2g}, " if self.precision == "fp32" else ""
        return (
            f"{verdict} within the limits of {self.precision}: {error}mean KL {total.mean_kl:.2g} nats, "
            f"top-1 {total.top1:.1%}, greedy {self.greedy_agreement:.1%} ({total.positions} positions, {self.provider})"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the manifest's ``verification``."""
        gate = {name: limit for name, limit in asdict(self.gate).items() if limit is not None}
        return {
            "passed": self.passed,
            "faults": list(self.faults),
            "precision": self.precision,
            "provider": self.provider,
            "gate": gate,
            "confident": self.confident,
            "reference_nll": _short(self.reference_nll),
            "bundle_nll": _short(self.bundle_nll),
            "greedy_agreement": self.greedy_agreement,
            "weights": self.weights.to_dict(),
            **self.total.to_dict(),
            "paths": {name: found.to_dict() for name, found in self.paths.items()},
            "graph": {name: found.to_dict() for name, found in self.graph.items()},
            **({} if self.rows_kept is None else {"rows_kept": [_short(part) for part in self.rows_kept]}),
            "prompts": [prompt.to_dict() for prompt in self.prompts],
        }


def _short(value: float | None) -> float | None:
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None


def _by_path(listed: Sequence[Mapping[str, Difference]]) -> dict[str, Difference]:
    return {
        name: sum((paths[name] for paths in listed if name in paths), Difference())
        for name in PATHS
        if any(name in paths for paths in listed)
    }


def _above(what: str, value: float, limit: float | None) -> str | None:
    """A fault where the value is not within the limit; NaN never is."""
    return None if limit is None or value <= limit else f"{what} is {value:.3g}; at most {limit:g}"


def _below(what: str, value: float, limit: float | None) -> str | None:
    return None if limit is None or value >= limit else f"{what} is {value:.4g}; at least {limit:g}"
