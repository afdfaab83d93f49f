"""A bundle opened to see where its nodes run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.placement import Placement
from youtu_onnx.runtimes.providers.choice import ProviderChoice


def placement(path: str | Path, choice: ProviderChoice) -> Placement:
    """Open a bundle, and close it again.

    Raises:
        As :class:`youtu_onnx.runtimes.ort.model.OrtModel` does.
    """
    model = OrtModel(Bundle.open(path), choice.name, options=choice.options, require_provider=choice.required)
    try:
        return model.placement
    finally:
        model.close()


def rows(placement: Placement) -> list[tuple[str, str]]:
    """For people: the nodes' providers, and what others than the bundle's run, by reason."""
    kinds: dict[tuple[str, str | None], Counter[str]] = {}
    for stray in placement.strays:
        kinds.setdefault((stray.provider, stray.reason), Counter())[stray.op] += 1
    found = [("nodes", placement.summary())]
    for (name, reason), ops in kinds.items():
        listed = ", ".join(f"{op} {count}" for op, count in ops.most_common())
        found.append(("", f"{name} has {listed}: {reason or f'UNEXPECTED, they belong on {placement.provider}'}"))
    return found
