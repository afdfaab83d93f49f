"""What running a bundle holds in memory beside its weights and its cache: the one owner of that estimate."""

from __future__ import annotations

from youtu_onnx.core.bundle import Manifest
from youtu_onnx.families.known import architecture_of, family_called


def step_bytes(manifest: Manifest, *, tokens: int, new: int, logits: int = 1) -> int:
    """Bytes that a step holds at its peak, about, on the CPU.

    Args:
        tokens: that the cache comes to with the step.
        new: tokens of the step.
        logits: positions whose logits are computed.

    Raises:
        BundleError: the manifest's family is unknown, or can't read what it recorded.
    """
    family = family_called(manifest.model.family)
    return family.step_bytes(
        architecture_of(manifest.model), manifest.graph, manifest.cache, tokens=tokens, new=min(new, tokens), logits=logits
    )
