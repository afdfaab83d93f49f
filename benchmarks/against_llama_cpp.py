"""Youtu-LLM on ONNX Runtime beside llama.cpp on the same machine, in turns: speed, memory, time to the first token.

    python -m benchmarks.make_checkpoint CHECKPOINT
    youtu-onnx export -m CHECKPOINT -o BUNDLE -p int4
    python -m benchmarks.against_llama_cpp CHECKPOINT --bundle BUNDLE --scratch DIR [--picture docs/pictures/speed.svg]

finds or builds llama.cpp, writes the checkpoint as Q4_0 GGUF, measures, and leaves ``comparison.md``, ``speed.svg`` and
``comparison.json`` in the scratch. An hour or two on two cores, most of it llama.cpp's prefill at 16384; ``--quick`` leaves
that out and takes minutes. Each process is one turn: ours, llama.cpp without and with flash attention, ours, ... At 4096 tokens
and beyond a process fills its cache once and takes several samples (llama-bench does so by itself), our side also has the last
turn, and a bundle with ``--cache latent-int8`` takes part if there is one (``--int8-bundle``). Every run is kept as soon as it is
over, so ``--resume`` goes on after an interruption.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.comparison import OURS, OURS_INT8, THEIRS, Point, Results, Run, llama_bench_samples, our_samples, speed
from benchmarks.comparison_report import LLAMA, markdown, picture
from benchmarks.llama_cpp import CACHE, LlamaCpp
from benchmarks.measured_machine import MeasuredMachine, load_average
from benchmarks.shapes import YOUTU_LLM_2B, youtu_shape
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.threads import thread_count

POINTS = "decode@0,prefill@512,start,memory,decode@1024,decode@4096,prefill@4096,decode@16384"
QUICK = "decode@0,prefill@512,start,memory,decode@1024"
LONG = 4096
"""Tokens from which on filling the cache, not the measurement, takes the time."""
START_TOKENS = 16
RESERVED = 4096
"""Tokens of context that llama.cpp reserves to start: left alone, it would reserve all that the model can have."""


@dataclass(frozen=True)
class Effort:
    """Turns of each side, samples per turn, tokens per decoding sample, and whether ours has one more turn at the end."""

    turns: int
    samples: int
    generated: int
    closing: bool

    @classmethod
    def of(cls, point: Point, options: argparse.Namespace) -> Effort:
        generated = 128 if point.length == 0 else 32
        if point.length < LONG:
            usual = cls(2 if options.quick else 5, 1 if point.kind == "prefill" or point.length == 0 else 2, generated, False)
        else:
            turns = 1 if options.quick or point.length > LONG else 2
            usual = cls(turns, 1 if point.kind == "prefill" else 3, generated, not options.quick)
        return cls(
            options.turns or usual.turns,
            options.repetitions or usual.samples,
            options.generated or usual.generated,
            usual.closing,
        )


@dataclass(frozen=True)
class Sides:
    """How each side is started."""

    bundle: Path
    int8_bundle: Path | None
    ours: list[str]
    llama: LlamaCpp
    gguf: Path
    threads: int

    def ours_at(self, point: Point) -> tuple[str, ...]:
        """Our sides that take part."""
        return (OURS, OURS_INT8) if self.int8_bundle and point.kind == "decode" and point.length >= LONG else (OURS,)

    def bench(self, side: str, point: Point, effort: Effort) -> list[str]:
        prompt, generated, depth = point.test(effort.generated)
        test = ["-p", str(prompt), "-n", str(generated), "-d", str(depth), "-r", str(effort.samples), "-t", str(self.threads)]
        if point.kind == "prefill" and point.length >= LONG:
            test.append("--no-warmup")  # both read the whole prompt as a warm-up: as long as a sample, and nothing to one so long
        if side not in THEIRS:
            return [*self.ours, "bench", str(self.bundle if side == OURS else self.int8_bundle), *test, "-o", "json"]
        return self.llama.bench_command(self.gguf, *test, *side.split()[1:])

    def starts(self, prompt: str, setting: str) -> dict[str, list[str]]:
        """Commands that end with the first token."""
        threads = str(self.threads)
        return {
            OURS + " generate": [
                *self.ours,
                "generate",
                str(self.bundle),
                "-p",
                prompt,
                "--raw",
                "--greedy",
                "--max-tokens",
                "1",
                "--threads",
                threads,
            ],
            OURS + ", runtime alone": [
                sys.executable,
                "-m",
                "benchmarks.first_token",
                str(self.bundle),
                "--tokens",
                str(START_TOKENS),
                "--threads",
                threads,
            ],
            LLAMA: self.llama.first_token_command(
                self.gguf, prompt, "-t", threads, "-c", str(RESERVED), "-fa", "on" if setting == THEIRS[1] else "off"
            ),
        }

    def holding(self, prompt: str, setting: str) -> dict[str, list[str]]:
        """Commands that wait for stdin after the first token."""
        starts = self.starts(prompt, setting)
        return {OURS: [*starts[OURS + ", runtime alone"], "--hold"], LLAMA: [*starts[LLAMA], "-i"]}


def measure_point(point: Point, sides: Sides, effort: Effort, results: Results, limit: float, say: Callable[[str], None]) -> None:
    """All turns of a point, less those that ``results`` has; a setting of llama.cpp that turns out hopeless is left."""
    ours = sides.ours_at(point)
    results.keep_only(point, {side: sides.bench(side, point, effort) for side in (*ours, *THEIRS)}, ours)
    for turn, side in _turns(effort, ours):
        command = sides.bench(side, point, effort)
        if results.find(point, side, turn, command):
            continue
        if why := results.hopeless(point).get(side):
            if turn == 0:
                say(f"{point} {side}: left out, {why}")
            continue
        load = load_average()
        done = processes.run(command, limit if side in THEIRS else None)
        read = llama_bench_samples if side in THEIRS else our_samples
        samples = [] if done.output is None else read(done.output, point.test(effort.generated))
        peak = done.peak
        run = Run(
            str(point),
            side,
            turn,
            0 if point.kind == "prefill" else effort.generated,
            samples,
            command,
            done.seconds,
            None if peak is None else peak.resident,
            None if peak is None else peak.anonymous,
            load,
        )
        results.add(run)
        shown = " ".join(f"{sample:.2f}" for sample in samples) or "over the time limit"
        say(f"{point} {side}, turn {turn + 1}: {shown} tok/s ({done.seconds:.0f} s in all)")


def _turns(effort: Effort, ours: Sequence[str]) -> Iterator[tuple[int, str]]:
    for turn in range(effort.turns):
        for side in (*ours, *THEIRS):
            yield turn, side
    if effort.closing:
        for side in ours:
            yield effort.turns, side


def measure_starts(sides: Sides, results: Results, turns: int, say: Callable[[str], None]) -> None:
    """From the start of a process to the first token that it prints, in turns; the first turn fills the file cache and
    doesn't count."""
    commands = sides.starts(prompt_of(sides.bundle, START_TOKENS), faster_at_start(results))
    found = []
    for turn in range(turns + 1):
        for side, command in commands.items():
            seconds = processes.seconds_to_output(command)
            if turn:
                found.append((side, seconds))
                say(f"start {side}, turn {turn}: {seconds:.2f} s")
    results.starts = found
    results.facts["start_commands"] = list(commands.values())
    results.save()


def measure_memory(sides: Sides, results: Results, say: Callable[[str], None]) -> None:
    for side, command in sides.holding(prompt_of(sides.bundle, START_TOKENS), faster_at_start(results)).items():
        held = processes.memory_when_idle(command)
        results.memory[side] = asdict(held)
        say(f"memory {side}: {held.resident / 1e9:.2f} GB resident")
    results.save()


def faster_at_start(results: Results) -> str:
    """llama.cpp's setting for short work: the faster one at the shortest point so far."""
    runs = next((results.at(point) for kind in ("decode", "prefill") for point in results.points(kind)[:1]), [])
    return max(THEIRS, key=lambda side: speed(runs, side) or 0.0)


def prompt_of(bundle: Path, tokens: int) -> str:
    """A text of so many tokens for the bundle's tokenizer; llama.cpp's splits it a little differently."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    text = ""
    for letter in "The quick brown fox jumps over the lazy dog while the band plays on. " * tokens:
        text += letter
        if len(tokenizer.encode(text, add_special_tokens=False).ids) >= tokens and letter != " ":
            break
    return text


def facts(sides: Sides) -> dict[str, object]:
    """What the report says beside the measurements, and what must stay the same to go on with them."""
    import onnxruntime

    manifest = Bundle.open(sides.bundle).manifest
    int8 = Bundle.open(sides.int8_bundle).manifest if sides.int8_bundle else None
    shape = youtu_shape(manifest)
    model = "Youtu-LLM-2B" if shape.parameters == YOUTU_LLM_2B.parameters else f"{shape.parameters / 1e6:.0f} M parameters"
    return {
        "threads": sides.threads,
        "model": f"{model}, {manifest.recipe.precision} and {sides.gguf.stem.upper()}, {sides.threads} threads",
        "versions": f"onnxruntime {onnxruntime.__version__}, llama.cpp from {sides.llama.version}",
        "bundle_created": manifest.created,
        "int8_bundle_created": int8 and int8.created,
        "parameters": shape.parameters,
        "file_bytes": {
            OURS: sum(path.stat().st_size for path in sides.bundle.rglob("*") if path.is_file()),
            LLAMA: sides.gguf.stat().st_size,
        },
        "cache_bytes_per_token": {
            OURS: manifest.cache.bytes_per_token,
            OURS_INT8: int8 and int8.cache.bytes_per_token,
            # llama.cpp: the latent as well, in float16
            LLAMA: shape.num_hidden_layers * (shape.kv_lora_rank + shape.qk_rope_head_dim) * 2,
        },
        "names": {
            str(sides.bundle): "BUNDLE",
            str(sides.int8_bundle): "INT8_BUNDLE",
            str(sides.gguf): "GGUF",
            sys.executable: "python",
            sides.ours[0]: "python",
        }
        | {str(sides.llama.programs / name): name for name in ("llama-bench", "llama-completion")},
    }


def open_results(path: Path, resume: bool, found: dict[str, object], threads: int) -> Results:
    """New ones, or those in ``path`` if they are to be gone on with.

    Raises:
        SystemExit: results are there and weren't asked for, or are another bundle's.
    """
    if not path.is_file():
        return Results(path, {"machine": str(MeasuredMachine.here(threads))} | found)
    if not resume:
        raise SystemExit(f"{path} holds results: go on with --resume, draw them again with --render, or delete it")
    results = Results.load(path)
    for name in ("bundle_created", "file_bytes", "versions", "threads"):
        if results.facts.get(name) != found[name]:
            raise SystemExit(f"{path} is of other files or versions ({name}): delete it, or take another --scratch")
    if found["int8_bundle_created"]:
        if found["int8_bundle_created"] != results.facts.get("int8_bundle_created"):
            results.runs = [run for run in results.runs if run.side != OURS_INT8]
        results.facts |= {name: found[name] for name in ("int8_bundle_created", "cache_bytes_per_token", "names")}
    return results


def render(results: Results, scratch: Path, drawing: Path | None) -> None:
    (scratch / "comparison.md").write_text(markdown(results), encoding="utf-8")
    if svg := picture(results):
        for path in (scratch / "speed.svg", drawing):
            if path:
                path.write_text(svg, encoding="utf-8")
    print(markdown(results))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="what the bundle was exported from")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--int8-bundle", type=Path, help=f"the same with --cache latent-int8, to decode from {LONG} tokens on, too"
    )
    parser.add_argument("--scratch", type=Path, required=True, help="for results and the GGUF; 5 GB while that is made")
    parser.add_argument("--llama-cpp", type=Path, default=CACHE, help="folder of a llama.cpp build, or where to make one")
    parser.add_argument("--gguf", type=Path, help="a GGUF of the checkpoint that is there already")
    parser.add_argument("--youtu-onnx", default=f"{shlex.quote(sys.executable)} -m youtu_onnx.cli", help="how to start our side")
    parser.add_argument("--only", help=f"of {POINTS}; other lengths may be named, too")
    parser.add_argument("--quick", action="store_true", help="short points, two turns")
    parser.add_argument("--turns", type=int, help="of each side at each point")
    parser.add_argument("-r", "--repetitions", type=int, help="samples per turn")
    parser.add_argument("-n", "--generated", type=int, help="tokens per decoding sample")
    parser.add_argument("-t", "--threads", type=int, help="of both sides; without it, one per physical core")
    parser.add_argument("--limit", type=float, default=60, help="minutes after which a llama.cpp process is stopped")
    parser.add_argument("--resume", action="store_true", help="keep what the scratch holds of the same commands")
    parser.add_argument("--render", action="store_true", help="measure nothing, write tables and picture again")
    parser.add_argument("--picture", type=Path, help="where to put the picture, too")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    scratch: Path = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / "comparison.json"
    if options.render:
        render(Results.load(path), scratch, options.picture)
        return
    names = (options.only or (QUICK if options.quick else POINTS)).split(",")
    points = {name: Point.parse(name) for name in names if name not in ("start", "memory")}
    llama = LlamaCpp.find_or_build(options.llama_cpp.resolve())
    gguf = options.gguf.resolve() if options.gguf else llama.quantized(options.checkpoint.resolve(), scratch)
    sides = Sides(
        options.bundle.resolve(),
        options.int8_bundle and options.int8_bundle.resolve(),
        shlex.split(options.youtu_onnx, posix=os.name != "nt"),
        llama,
        gguf,
        thread_count(options.threads),
    )
    results = open_results(path, options.resume, facts(sides), sides.threads)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    for name in sorted(names, key=lambda name: points[name].length if name in points else 0):  # hopeless settings show early
        if name == "start" and not results.starts:
            measure_starts(sides, results, options.turns or (2 if options.quick else 5), say)
        elif name == "memory" and not results.memory:
            measure_memory(sides, results, say)
        elif name in points:
            measure_point(points[name], sides, Effort.of(points[name], options), results, options.limit * 60, say)
    render(results, scratch, options.picture)


if __name__ == "__main__":
    main()
