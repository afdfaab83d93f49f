"""Which quantizer an export uses."""

from __future__ import annotations

from youtu_onnx.core.recipe import Recipe
from youtu_onnx.exporters.quantize.gptq import Gptq
from youtu_onnx.exporters.quantize.quantizer import Quantizer
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest


def quantizer_for(recipe: Recipe) -> Quantizer:
    """By the recipe's algorithm."""
    return Gptq() if recipe.compensates else RoundToNearest()
