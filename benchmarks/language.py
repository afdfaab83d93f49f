"""How much of a model's language each way of storing it keeps: KL divergence over bits a weight, beside llama.cpp's types.

    python -m benchmarks.language CHECKPOINT --text FILE… --picture docs/pictures/language.svg

exports the checkpoint in each of our ways, builds llama.cpp's files of the same checkpoint, and measures all at the same
positions of the same text: ours as ONNX Runtime runs them; llama.cpp's weights, dequantized by its own package, in PyTorch, which
leaves out what its kernels round. Bits are those of all tensors in a file by the checkpoint's parameters. What is made is kept in
``--scratch``, and a second call goes on where the first was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gguf_weights import GgufWeights
from benchmarks.importance import write_importance
from benchmarks.llama_cpp import CACHE, PROGRAMS, LlamaCpp, run_step
from docs.pictures.language_chart import language_picture
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.softmax import log_softmax
from youtu_onnx.evaluate.distance import Distances
from youtu_onnx.evaluate.language import measure
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.referenced import reference_of
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.inspect.inspection import inspect_bundle
from youtu_onnx.publish.calibrating import BUILT_IN
from youtu_onnx.publish.exporting import export
from youtu_onnx.runtimes.opening import open_decoder
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.passages import passages

OURS: dict[str, dict[str, Any]] = {
    "int4": {},
    "int4, 5.2 bits": {"bits_per_weight": 5.2},
    "int4, awq": {"algorithm": "awq"},
    "int4, gptq": {"algorithm": "gptq"},
    "int4, gptq+awq": {"algorithm": "gptq+awq"},
    "int4, gptq+awq, 5.2 bits": {"algorithm": "gptq+awq", "bits_per_weight": 5.2},
    "int4, gptq+awq, 6 bits": {"algorithm": "gptq+awq", "bits_per_weight": 6.0},
    "int8": {"precision": "int8"},
}
THEIRS = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")
BY_IMPORTANCE = ("Q4_0", "Q4_K_M")
"""Types that are measured with an importance matrix of the calibration text, too."""
ROWS = 256
WINDOW, TOKENS = 512, 8192
"""Of the calibration text, for both sides."""


@dataclass(frozen=True)
class Measured:
    """One point. KL in nats."""

    side: str
    name: str
    bits: float
    perplexity: float
    kl_mean: float
    kl_p99: float
    top1: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument(
        "--calibration", type=Path, nargs="+", default=[BUILT_IN], help="both sides'; without it, the built-in text"
    )
    parser.add_argument("--scratch", type=Path, default=Path("build/language"))
    parser.add_argument("--llama", type=Path, default=CACHE, help="where llama.cpp is, or will be built")
    parser.add_argument("--only", help="names of points, separated by semicolons")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args(arguments)
    options.scratch.mkdir(parents=True, exist_ok=True)
    record = options.scratch / "language.json"
    done = [Measured(**one) for one in json.loads(record.read_text())] if record.is_file() else []
    for name, make in _points(options):
        if any(one.name == name for one in done) or (options.only and name not in options.only.split(";")):
            continue
        print(name, file=sys.stderr, flush=True)
        done.append(make())
        record.write_text(json.dumps([asdict(one) for one in done], indent=1), encoding="utf-8")
    print(table(done))
    if options.picture:
        options.picture.write_text(
            language_picture([(one.side, one.name, one.bits, one.kl_mean) for one in done]), encoding="utf-8"
        )


def table(points: Iterable[Measured]) -> str:
    rows = ["| | bits a weight | mean KL, nats | 99 % | same first choice | perplexity |", "|---|---|---|---|---|---|"]
    for one in sorted(points, key=lambda point: point.bits):
        name = f"{one.side} {one.name}" if one.side != "youtu-onnx" else f"**{one.name}**"
        rows.append(f"| {name} | {one.bits:.2f} | {one.kl_mean:.3g} | {one.kl_p99:.3g} | {one.top1:.3f} | {one.perplexity:.2f} |")
    return "\n".join(rows)


def _points(options: argparse.Namespace) -> Iterable[tuple[str, Callable[[], Measured]]]:
    checkpoint = Checkpoint.open(str(options.checkpoint))
    for name, how in OURS.items():
        yield name, lambda name=name, how=how: _ours(checkpoint, name, how, options)  # type: ignore[misc]
    for kind in THEIRS:
        for importance in (False, True)[: 1 + (kind in BY_IMPORTANCE)]:
            label = f"{kind}, imatrix" if importance else kind
            yield (
                label,
                lambda label=label, kind=kind, importance=importance: _theirs(  # type: ignore[misc]
                    checkpoint, label, kind, importance, options
                ),
            )


def _read(folder: Path, files: Sequence[Path], window: int, tokens: int) -> list[list[int]]:
    tokenizer = Tokenizer.open(folder)
    return passages(files, tokenizer, ChatTemplate.open(folder, tokenizer), window=window, tokens=tokens)


def _ours(checkpoint: Checkpoint, name: str, how: dict[str, Any], options: argparse.Namespace) -> Measured:
    folder = options.scratch / name.replace(", ", "-").replace(" ", "-")
    if not folder.is_dir():
        given = {"calibration": options.calibration} if how.get("algorithm", "rtn") != "rtn" else {}
        export(str(options.checkpoint), folder, verify=False, **how, **given)
    bundle = Bundle.open(folder)
    decoder = open_decoder(bundle)
    try:
        found = measure(bundle, decoder, _read(folder, options.text, options.window, options.tokens), checkpoint)
    finally:
        decoder.close()
    whole = found.whole
    assert whole is not None
    bits = inspect_bundle(folder).bits_per_weight
    return Measured("youtu-onnx", name, bits, found.perplexity, whole.mean, whole.p99, whole.top1)


def _theirs(checkpoint: Checkpoint, name: str, kind: str, importance: bool, options: argparse.Namespace) -> Measured:
    llama = LlamaCpp.find_or_build(options.llama, programs=PROGRAMS[1:2])
    half = llama.converted(options.checkpoint, options.scratch)
    output = options.scratch / f"{name.replace(', ', '-').lower()}.gguf"
    if not output.is_file():
        part = output.with_suffix(".part")
        command = llama.quantize_command(half, part, kind)
        if importance:
            measured = options.scratch / "importance.dat"
            if not measured.is_file():
                write_importance(checkpoint, _read(options.checkpoint, options.calibration, WINDOW, TOKENS), measured)
            command[1:1] = ["--imatrix", str(measured)]
        run_step(command, "quantizing the GGUF failed")
        part.replace(output)
    weights = GgufWeights(output, youtu(checkpoint), llama.source / "gguf-py")
    bits = 8 * weights.nbytes / checkpoint.architecture.parameters
    return _in_pytorch(
        checkpoint, weights, "llama.cpp", name, bits, _read(options.checkpoint, options.text, options.window, options.tokens)
    )


def youtu(checkpoint: Checkpoint) -> Architecture:
    """
    Raises:
        SystemExit: of another family, whose GGUF has other names.
    """
    if not isinstance(checkpoint.architecture, Architecture):
        raise SystemExit(f"{checkpoint.name} is no Youtu-LLM; llama.cpp's types can't be measured beside it")
    return checkpoint.architecture


def _in_pytorch(
    checkpoint: Checkpoint, weights: GgufWeights, side: str, name: str, bits: float, ids: Sequence[Sequence[int]]
) -> Measured:
    reference, distances = reference_of(checkpoint.family), Distances()
    pieces = (reference.logits_in_pieces(checkpoint, ids, rows=ROWS, weights=one) for one in (None, weights))
    wanted_nats, count = 0.0, 0
    targets = [token for one in ids for token in (*one[1:], -1)]
    for wanted, found in zip(*pieces, strict=True):
        distances.add(wanted, found)
        logs = log_softmax(found)
        for row, token in enumerate(targets[: len(found)]):
            if token >= 0:
                wanted_nats, count = wanted_nats - float(logs[row, token]), count + 1
        targets = targets[len(found) :]
    summary = distances.summary()
    assert summary is not None
    return Measured(side, name, bits, math.exp(wanted_nats / count), summary.mean, summary.p99, summary.top1)


if __name__ == "__main__":
    main()
