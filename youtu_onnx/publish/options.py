"""What a caller chooses for an export."""

from __future__ import annotations

from dataclasses import dataclass

from youtu_onnx.core.recipe import Precision, Recipe
from youtu_onnx.core.target import Target


@dataclass(frozen=True)
class ExportOptions:
    """Choices for an export, whatever its target.

    Attributes:
        precision, block_size, symmetric, int8: see :class:`youtu_onnx.core.recipe.Recipe`. No block size takes the target's.
        cache: ``latent``, ``latent-int8`` or ``expanded``; None takes the target's.
        max_length: tokens to reserve, where the cache is static.
        layout: ``transformers.js`` adds the names under which that library looks for a model.
        verify: compare with PyTorch before publishing.
        force: replace a bundle that is already there, and publish one that failed verification.
        revision, offline: where a checkpoint that is a hub id is taken from.
    """

    precision: Precision = "int4"
    block_size: int | None = None
    symmetric: bool = False
    int8: tuple[str, ...] = ()
    cache: str | None = None
    max_length: int | None = None
    layout: str | None = None
    verify: bool = True
    force: bool = False
    revision: str | None = None
    offline: bool = False

    def recipe(self, target: Target) -> Recipe:
        """How weights are stored for a target.

        Raises:
            UsageError: an unknown precision, a block size that can't be, or exceptions that this precision can't have.
        """
        block_size = target.block_size if self.block_size is None else self.block_size
        return Recipe(self.precision, block_size, self.symmetric, self.int8)
