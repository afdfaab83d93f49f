"""What a bundle's graph is, said by the exporter that wrote it. Readers ask this, and no table of their own version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ABSORBED, EXPANDED = "absorbed", "expanded"
FLOAT_DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class GraphFacts:
    """Facts that a program needs to open ``model.onnx`` well, and can't cheaply read off it.

    Attributes:
        provider: the execution provider that it was written for, by this project's name: ``cpu``, ``cuda``, ``dml``, ``webgpu``.
        float_dtype: of its activations and logits.
        opset: of ONNX's operators.
        optimized: whether it is what ONNX Runtime's optimizer would leave: it is opened without the optimizer.
        attention: the orders in which it can compute attention: ``absorbed`` works on cached rows as they are, ``expanded``
            makes every head's keys and values of them for the time of a step.
        expands_from: new tokens of a step from which a graph of both orders expands; None where it has one order.
        mask_keeps_logits: whether a last column of ``1 + k`` in the attention mask asks for the logits of the last k positions
            only; 1 is all. False: it computes all, or has an input ``logits_to_keep`` for that (exports before November 2026).
    """

    provider: str
    float_dtype: str
    opset: int
    optimized: bool
    attention: tuple[str, ...]
    expands_from: int | None = None
    mask_keeps_logits: bool = False

    def expands(self, new: int) -> bool:
        """Whether a step of so many new tokens makes every head's keys and values."""
        if self.expands_from is not None:
            return new >= self.expands_from
        return self.attention == (EXPANDED,)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"attention": list(self.attention)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> GraphFacts:
        """
        Raises:
            KeyError, TypeError, ValueError: a field is missing, or can't be.
        """
        facts = cls(**(dict(found) | {"attention": tuple(found["attention"])}))
        numbers = (facts.opset, facts.expands_from or 1)
        flags = (facts.optimized, facts.mask_keeps_logits)
        if not all(type(number) is int and number > 0 for number in numbers) or not all(type(flag) is bool for flag in flags):
            raise ValueError(
                f"a graph of opset {facts.opset!r}, optimized {facts.optimized!r}, expanding from {facts.expands_from!r}, with "
                f"mask_keeps_logits {facts.mask_keeps_logits!r}"
            )
        if facts.float_dtype not in FLOAT_DTYPES or not isinstance(facts.provider, str):
            raise ValueError(f"a graph of {facts.float_dtype!r} for {facts.provider!r}")
        if not all(isinstance(order, str) for order in facts.attention):
            raise ValueError(f"a graph of the orders {facts.attention!r}")
        return facts


def facts_of_format_1(target: str, precision: str, cache_form: str) -> GraphFacts:
    """What manifests of format 1 left to a table of their readers. This one is of the version that wrote them, and stays.

    Raises:
        ValueError: a target that no version with this format had.
    """
    on_cpu = target in ("cpu", "mobile")
    if not on_cpu and target not in ("cuda", "dml", "webgpu"):
        raise ValueError(f"target {target!r}")
    float_dtype = {"fp32": "float32", "fp16": "float16"}.get(precision, "float32" if on_cpu else "float16")
    both = on_cpu and cache_form == "latent"
    return GraphFacts(
        provider="cpu" if on_cpu else target,
        float_dtype=float_dtype,
        opset=23 if on_cpu else 18,
        optimized=both and float_dtype == "float32",
        attention=(ABSORBED, EXPANDED) if both else (ABSORBED,) if cache_form == "latent" else (EXPANDED,),
        expands_from=64 if both else None,
    )
