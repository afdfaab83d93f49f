"""The head of a model whose ``config.json`` ties it to the embedding: not stored, stored twice, or trained apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.safetensors_files import Likeness, TensorInfo, likeness
from youtu_onnx.families.architecture import Architecture

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def with_tied_head(
    folder: Path, architecture: Architecture, tensors: Mapping[str, TensorInfo]
) -> tuple[dict[str, TensorInfo], list[str]]:
    """The tensors without a head that repeats the embedding, and remarks.

    Raises:
        CheckpointError: the two differ.
    """
    found = dict(tensors)
    if not architecture.tie_word_embeddings or HEAD not in found:
        return found, []
    head = found.pop(HEAD)
    if EMBEDDING not in found:
        return found | {EMBEDDING: head}, [f"{EMBEDDING} is not there: {HEAD} is, and config.json ties the two"]
    embedding = found[EMBEDDING]
    alike = likeness(embedding, head)
    if alike is Likeness.SAME:
        return found, []
    if alike is Likeness.ROUNDED:
        difference = f"is {EMBEDDING} ({embedding.dtype}) rounded to {head.dtype}, or the other way about"
    else:
        difference = f"differs from {EMBEDDING}"
    raise CheckpointError(
        f"the weights in {folder}: {HEAD} {difference}, and config.json says that the two are tied (tie_word_embeddings)",
        hint='to export the head as it is, write "tie_word_embeddings": false into config.json; '
        f"to export the embedding in its place, remove {HEAD} from the weights",
    )
