"""How well a model predicts a long text, by position: with and without YaRN, over a float cache and over an int8 one.

::

    python -m benchmarks.long_context CHECKPOINT --text docs/*.md --tokens 16384

exports the checkpoint in int8 with either cache, as it is and stretched by YaRN (its config.json is changed, its weights are
not), reads one passage from its beginning to its end with each, and prints a table: perplexity between positions, and the KL
divergence of what is predicted over the int8 cache from what is predicted over the float one. Both round activations, and
differently, once their inputs differ at all: with ``--itself``, the last column is the divergence of the float cache from itself
in steps of another size, which is the part of the one before that is not the cache's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import youtu_onnx
from youtu_onnx.core.softmax import log_softmax
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.text.passages import passages

STEP, OTHER_STEP = 256, 192
"""Tokens of a step: both expand, and the second rounds other rows together."""
FIRST = 2048
"""Where the first range of positions ends; each further one is twice as long."""


@dataclass(frozen=True)
class Range:
    """Positions from ``start`` to before ``stop``: nats of the tokens behind them, and divergences, in means."""

    start: int
    stop: int
    float_nats: float
    int8_nats: float
    divergence: float
    itself: float


def stretched(checkpoint: Path, folder: Path, tokens: int, *, yarn: bool) -> Path:
    """The checkpoint with positions for so many tokens; its files are linked."""
    folder.mkdir()
    for file in checkpoint.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file.resolve())
    config: dict[str, Any] = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    trained = config["max_position_embeddings"]
    config["max_position_embeddings"] = max(tokens, trained)
    if yarn:
        theta = config["rope_parameters"]["rope_theta"]
        factor = max(1.0, tokens / trained)
        config["rope_parameters"] = {
            "rope_type": "yarn",
            "rope_theta": theta,
            "factor": factor,
            "original_max_position_embeddings": trained,
        }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def logits(decoder: Decoder, ids: Sequence[int], step: int) -> Iterator[NDArray[np.float32]]:
    """Of each position, ``[V]``."""
    decoder.reset()
    for start in range(0, len(ids), step):
        yield from decoder.decode(ids[start : start + step])


def measured(float_: Path, int8: Path, text: Sequence[Path], tokens: int, *, itself: bool) -> list[Range]:
    """``itself``: whether the float cache reads the text a second time."""
    with youtu_onnx.load(float_) as one, youtu_onnx.load(int8) as other, youtu_onnx.load(float_) as again:
        [ids] = passages(text, one.tokenizer, window=tokens, tokens=tokens)
        readers = [logits(one.decoder, ids, STEP), logits(other.decoder, ids, STEP)]
        if itself:
            readers.append(logits(again.decoder, ids, OTHER_STEP))
        rows = []
        for following, found in zip(ids[1:], zip(*readers, strict=True), strict=False):
            p, q, *r = (log_softmax(row.astype(np.float64)) for row in found)
            of_itself = float(np.exp(p) @ (p - r[0])) if r else np.nan
            rows.append((-p[following], -q[following], float(np.exp(p) @ (p - q)), of_itself))
            if len(rows) % 1024 == 0:
                print(f"  {len(rows):,} of {len(ids):,} positions, {time.strftime('%H:%M:%S')}", flush=True)
    numbers, made, start, stop = np.array(rows), [], 0, FIRST
    while start < len(numbers):
        made.append(Range(start, min(stop, len(numbers)), *map(float, numbers[start:stop].mean(0))))
        start, stop = stop, 2 * stop
    return made


def table(ranges: Sequence[Range]) -> list[str]:
    names = ("positions", "perplexity, float cache", "int8 cache", "KL divergence", "of the float cache from itself")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for one in ranges:
        itself = "" if np.isnan(one.itself) else f"{one.itself:.4f}"
        lines.append(
            f"| {one.start:,} to {one.stop:,} | {np.exp(one.float_nats):.2f} | {np.exp(one.int8_nats):.2f} "
            f"| {one.divergence:.4f} | {itself} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="files, read as one text")
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--rope", choices=["both", "as it is", "yarn"], default="both")
    parser.add_argument("--itself", action="store_true", help="read with the float cache twice, for what is not the cache's")
    options = parser.parse_args()
    for yarn in (False, True):
        if options.rope not in ("both", "yarn" if yarn else "as it is"):
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            source = stretched(options.checkpoint, folder / "checkpoint", options.tokens, yarn=yarn)
            bundles = [
                youtu_onnx.export(str(source), folder / cache, precision="int8", cache=cache, verify=False).bundle.path
                for cache in ("latent", "latent-int8")
            ]
            found = measured(bundles[0], bundles[1], options.text, options.tokens, itself=options.itself)
        print(f"\n{'YaRN' if yarn else 'rotations as they are'}, {time.monotonic() - started:.0f} s\n")
        print("\n".join(table(found)), flush=True)


if __name__ == "__main__":
    main()
