"""What each way of rounding costs youtu-nano: answers, KL divergence, size.

``python -m benchmarks.rounding`` prints the table of storages, ``--kinds`` the one of what each kind of matrix loses
at 4 bits: all others as in the recipe, that kind at 8. ``--no-answers`` leaves out the answers, which take longest.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from youtu_onnx.chat.opening import load
from youtu_onnx.core.recipe import BLOCK_SIZES, Recipe
from youtu_onnx.evaluate.evaluation import evaluate
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems
from youtu_onnx.publish.exporting import export

RECIPES = [
    Recipe("fp32"),
    Recipe("fp16"),
    Recipe("int8"),
    *(Recipe("int4", size, symmetric) for size in BLOCK_SIZES for symmetric in (False, True)),
]
KINDS = ("lm_head", "*.q_a_proj", "*.q_b_proj", "*.o_proj", "*.gate_proj", "*.down_proj")
"""As ``--int8`` names them. Fused matrices go together: q_a and kv_a, gate and up; a tied embedding with the head."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", action="store_true", help="one kind of matrix at 8 bits at a time")
    parser.add_argument("--block-size", type=int, choices=BLOCK_SIZES, help="of int4: only this one (with --kinds: the default)")
    parser.add_argument("--no-answers", action="store_true", help="KL divergence and size only")
    options = parser.parse_args()
    if options.kinds:
        base = Recipe("int4", options.block_size) if options.block_size else Recipe("int4")
        recipes = [base, *(replace(base, int8=(kind,)) for kind in KINDS)]
    else:
        recipes = [
            recipe
            for recipe in RECIPES
            if options.block_size is None or (recipe.precision == "int4" and recipe.block_size == options.block_size)
        ]
    print(f"| weights |{'' if options.no_answers else ' right answers |'} mean KL, nats | bundle |")
    print(f"|---|{'' if options.no_answers else '---|'}---|---|")
    for recipe in recipes:
        print(row(recipe, answers=not options.no_answers), flush=True)


def row(recipe: Recipe, *, answers: bool) -> str:
    """Export youtu-nano by a recipe, verify it, let it answer."""
    name: str = recipe.precision
    right = ""
    if recipe.precision == "int4":
        name += f", block {recipe.block_size}{', symmetric' if recipe.symmetric else ''}"
        name += "".join(f", `{pattern}` at 8 bits" for pattern in recipe.int8)
    with tempfile.TemporaryDirectory() as folder:
        made = export(
            "youtu-nano",
            Path(folder) / "bundle",
            precision=recipe.precision,
            block_size=recipe.block_size,
            symmetric=recipe.symmetric,
            int8=recipe.int8,
        )
        if answers:
            with load(made.bundle.path) as model:
                right = " {} of {} |".format(*evaluate(model, read_problems(HELD_OUT)).score())
    assert made.parity is not None
    return f"| {name} |{right} {made.parity.total.mean_kl:.2g} | {made.bundle.size / 1e6:.1f} MB |"


if __name__ == "__main__":
    main()
