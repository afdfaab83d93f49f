"""An importance matrix for llama.cpp's ``llama-quantize``: the mean square of each input of each matrix, measured in PyTorch.

llama.cpp's own ``llama-imatrix`` runs the model, and can't where it has biases, which its graph of this architecture lacks. The
numbers are the same ones: sums of squares of inputs over a text, by the names of the GGUF's tensors. The halves of ``kv_b_proj``
are left out, and so are embedding and head, as ``llama-imatrix`` leaves them out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.gguf_weights import KV_B, LAYER, theirs
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of


def write_importance(checkpoint: Checkpoint, sequences: Sequence[Sequence[int]], output: Path) -> None:
    """Read these token ids with the checkpoint; ``output`` appears whole."""
    part = output.with_name(output.name + ".part")
    part.write_bytes(packed(dict(_sizes(checkpoint, sequences))))
    part.replace(output)


def packed(sizes: Mapping[str, NDArray[np.float32]]) -> bytes:
    """In the format that came before GGUF's: a count; for each entry the length of its name, the name, of how many calls it is
    the sum, how many numbers, and these. All integers are little-endian int32."""
    made = [struct.pack("<i", len(sizes))]
    for name, numbers in sizes.items():
        encoded = name.encode()
        made += [struct.pack("<i", len(encoded)), encoded, struct.pack("<ii", 1, len(numbers)), numbers.astype("<f4").tobytes()]
    return b"".join(made)


def _sizes(checkpoint: Checkpoint, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for piece in reference_of(checkpoint.family).second_moments(checkpoint, sequences, diagonal=True):
        for name, sizes in piece.items():
            if LAYER.fullmatch(name) and not KV_B.fullmatch(name):
                yield theirs(name), sizes.numpy()
