"""Choices that a checkpoint which is quantized already leaves nobody."""

from __future__ import annotations

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Recipe, matches
from youtu_onnx.exporters.prequantized.choice import keeps_codes
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.publish.options import ExportOptions

FREELY = "leave it away; or export from the checkpoint before it was quantized"


def refuse_choices_that_are_made(checkpoint: Checkpoint, recipe: Recipe, options: ExportOptions) -> None:
    """
    Raises:
        UsageError: an option that says how codes are to be found which the bundle takes from the checkpoint.
    """
    if not keeps_codes(checkpoint, recipe):
        return
    kept = [name for name, one in checkpoint.packed.items() if one.kept is not None]
    method = checkpoint.packed[kept[0]].method
    taken = f"an int4 bundle of {checkpoint.name} takes the codes that it has ({method})"
    if options.algorithm != "rtn":
        raise UsageError(f"--algorithm {options.algorithm} chooses codes; {taken}", hint=FREELY)
    if options.bits_per_weight is not None:
        raise UsageError(f"--bits-per-weight chooses how matrices are stored; {taken}", hint=FREELY)
    if options.block_size is not None:
        raise UsageError(
            f"--block-size {options.block_size} is for codes that export chooses; {taken}, in its groups", hint=FREELY
        )
    if options.symmetric:
        raise UsageError(f"--symmetric is for codes that export chooses; {taken}, with its zero points", hint=FREELY)
    named = [pattern for pattern in options.int8 if any(matches(pattern, name) for name in kept)]
    if named:
        raise UsageError(
            f"--int8 {','.join(named)} names matrices whose codes are there; {taken}",
            hint="name others, such as lm_head, or leave --int8 away",
        )
    if options.save_checkpoint is not None:
        raise UsageError(f"--save-checkpoint would write what is there; {taken}", hint=FREELY)
