"""What a caller chooses for an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Algorithm, Precision, Recipe
from youtu_onnx.core.target import Target
from youtu_onnx.families.adapters.choice import AdapterChoice

NONE = "none"
"""Instead of patterns of matrices at 8 bits."""


@dataclass(frozen=True)
class ExportOptions:
    """Choices for an export, whatever its target.

    Attributes:
        precision, block_size, symmetric, int8: see :class:`youtu_onnx.core.recipe.Recipe`. No block size takes the target's. What
            the model's family keeps at 8 bits joins ``int8``, unless that is :data:`NONE` alone.
        algorithm: how codes are chosen, see :data:`youtu_onnx.core.recipe.ALGORITHMS`.
        bits_per_weight: of all weights on average at most, scales and what stays float counted: each matrix gets the storage that
            its sensitivity asks for. None stores them alike.
        calibration: files of text that inputs are measured on, and how many tokens of it are read.
        cache: one of the family's forms: ``latent``, ``latent-fp16``, ``latent-int8`` or ``expanded`` of Youtu-LLM, ``routed`` or
            ``masked`` of MicroReason; None takes the target's.
        max_length: tokens to reserve, where the cache is static.
        layout: ``transformers.js`` adds the names under which that library looks for a model, ``browser`` a graph that is
            faster in WebAssembly.
        save_checkpoint: a folder for the int4 weights as a checkpoint, see :mod:`youtu_onnx.exporters.saved_checkpoint`.
        verify: compare with PyTorch before publishing.
        force: replace a bundle that is already there, and publish one that failed verification.
        adapters: LoRA adapters, and whether one is merged or all are kept beside the weights.
        revision, offline: where a checkpoint that is a hub id is taken from.
    """

    precision: Precision = "int4"
    block_size: int | None = None
    symmetric: bool = False
    int8: tuple[str, ...] = ()
    algorithm: Algorithm = "rtn"
    bits_per_weight: float | None = None
    calibration: tuple[Path, ...] = ()
    calibration_tokens: int = 8192
    cache: str | None = None
    max_length: int | None = None
    layout: str | None = None
    save_checkpoint: Path | None = None
    verify: bool = True
    force: bool = False
    adapters: AdapterChoice = field(default_factory=AdapterChoice)
    revision: str | None = None
    offline: bool = False

    @property
    def all_int4(self) -> bool:
        """Whether not even the matrices that the model's family keeps at 8 bits are to have them."""
        return self.int8 == (NONE,)

    def recipe(self, target: Target) -> Recipe:
        """How weights are stored for a target.

        Raises:
            UsageError: an unknown precision or algorithm, a block size that can't be, exceptions that this precision can't have,
                a text where none is used, or none where one is.
        """
        block_size = target.block_size if self.block_size is None else self.block_size
        recipe = Recipe(self.precision, block_size, self.symmetric, () if self.all_int4 else self.int8, self.algorithm)
        if self.bits_per_weight is not None and (self.precision != "int4" or not 0 < self.bits_per_weight < 32):
            raise UsageError(
                f"--bits-per-weight {self.bits_per_weight:g} with {self.precision} can't be",
                hint="choose a number between 4.2 and 9, and --precision int4",
            )
        if self.calibration and not recipe.weighs_inputs:
            raise UsageError(f"{recipe.precision} looks at no text", hint="drop --calibration, or export with --precision int4")
        return recipe
