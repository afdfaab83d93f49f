"""What each way of rounding costs youtu-nano: answers, KL divergence, size. ``python -m benchmarks.rounding``"""

from __future__ import annotations

import tempfile
from pathlib import Path

from youtu_onnx.evaluate import HELD_OUT, evaluate, read_problems
from youtu_onnx.exporting import export
from youtu_onnx.model import load
from youtu_onnx.recipe import Recipe

RECIPES = [Recipe("fp32"), Recipe("fp16"), Recipe("int8"),
           *(Recipe("int4", size, symmetric) for size in (16, 32, 64, 128) for symmetric in (False, True))]


def main() -> None:
    problems = read_problems(HELD_OUT)
    print("| weights | right answers | mean KL, nats | bundle |\n|---|---|---|---|")
    for recipe in RECIPES:
        name = recipe.precision
        if recipe.precision == "int4":
            name += f", block {recipe.block_size}{', symmetric' if recipe.symmetric else ''}"
        with tempfile.TemporaryDirectory() as folder:
            made = export("youtu-nano", Path(folder) / "bundle", precision=recipe.precision, block_size=recipe.block_size,
                          symmetric=recipe.symmetric)
            with load(made.bundle.path) as model:
                right, total = evaluate(model, problems).score()
        assert made.parity is not None
        print(f"| {name} | {right} of {total} | {made.parity.total.mean_kl:.2g} | {made.bundle.size / 1e6:.1f} MB |", flush=True)


if __name__ == "__main__":
    main()
