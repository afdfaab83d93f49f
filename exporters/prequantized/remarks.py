"""What the user is told of weights that somebody quantized before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from youtu_onnx.exporters.prequantized.choice import Choice
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.graphs.parameter import Parameter


def packed_remarks(checkpoint: Checkpoint, sources: Mapping[str, Parameter], choice: Choice) -> list[str]:
    """A sentence for those that are kept, one for each format of those that aren't."""
    kept = {rows.tensor for name in choice.kept for rows in sources[name].rows} & checkpoint.packed.keys()
    found = []
    for method, count in Counter(checkpoint.packed[name].method for name in sorted(kept)).items():
        found.append(f"{count} matrices keep the codes, scales and zero points that the checkpoint has ({method})")
    others = Counter(one.method for name, one in checkpoint.packed.items() if name not in kept)
    for method, count in others.items():
        found.append(f"{count} matrices were quantized before ({method}): dequantized, then stored as other weights are")
    return found
