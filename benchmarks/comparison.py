"""What a comparison is made of: points, runs, and the arithmetic over them. Measures nothing itself.

A *point* is one thing that both sides do, as ``decode@4096``. A *run* is one process of one side at one point; sides take
turns, and each run is compared with the other side's runs just before and just after it, so that a machine that slows down
slows both.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any, Literal

OURS = "youtu-onnx"
OURS_INT8 = "youtu-onnx, int8 cache"
"""The same weights with ``--cache latent-int8``: measured where there is a bundle of it."""
THEIRS = ("llama.cpp -fa 0", "llama.cpp -fa 1")
"""llama.cpp in both of its settings: without and with flash attention."""
HOPELESS = 1.5
"""A setting this many times slower than the better one at a point isn't tried at longer ones."""


CHEAP = 1024
"""Tokens below which each setting gets all of its turns."""


@dataclass(frozen=True)
class Point:
    """``length`` tokens in the cache before ``decode``, or tokens of the prompt that ``prefill`` reads."""

    kind: Literal["decode", "prefill"]
    length: int

    @classmethod
    def parse(cls, text: str) -> Point:
        """
        Raises:
            ValueError: not like ``decode@4096`` or ``prefill@512``.
        """
        found = re.fullmatch(r"(decode|prefill)@(\d+)", text)
        if not found or text == "prefill@0":
            raise ValueError(f"{text!r} is no point: write it like decode@4096 or prefill@512")
        return cls(found[1], int(found[2]))  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.kind}@{self.length}"

    def test(self, generated: int) -> tuple[int, int, int]:
        """Prompt tokens, generated tokens, depth: the -p, -n and -d of both sides' benchmark."""
        return (self.length, 0, 0) if self.kind == "prefill" else (0, generated, self.length)


@dataclass(frozen=True)
class Run:
    """One process. ``samples`` are tokens a second, none if it was stopped at its time limit.

    Attributes:
        generated: tokens per sample, where they were decoded one by one.
        seconds: the whole process, with loading and filling the cache.
        peak_resident, peak_anonymous: bytes; None where the system doesn't say.
        load_average: of the minute before.
    """

    point: str
    side: str
    turn: int
    generated: int
    samples: list[float]
    command: list[str]
    seconds: float
    peak_resident: int | None = None
    peak_anonymous: int | None = None
    load_average: float | None = None

    @property
    def speed(self) -> float:
        return median(self.samples) if self.samples else 0.0


@dataclass
class Results:
    """All that was measured, in the order of measuring. Each change goes to ``path`` at once."""

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    starts: list[tuple[str, float]] = field(default_factory=list)
    memory: dict[str, dict[str, int | None]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            path,
            saved["facts"],
            [Run(**run) for run in saved["runs"]],
            [(side, seconds) for side, seconds in saved["starts"]],
            saved["memory"],
        )

    def save(self) -> None:
        saved = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "path"}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(saved | {"runs": [asdict(run) for run in self.runs]}, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.path)

    def at(self, point: Point) -> list[Run]:
        return [run for run in self.runs if run.point == str(point)]

    def points(self, kind: str) -> list[Point]:
        """Those with runs, the shortest first."""
        found = {Point.parse(run.point) for run in self.runs}
        return sorted((point for point in found if point.kind == kind), key=lambda point: point.length)

    def find(self, point: Point, side: str, turn: int, command: list[str]) -> Run | None:
        """The run if it was made already, by this very command."""
        return next((run for run in self.at(point) if (run.side, run.turn, run.command) == (side, turn, command)), None)

    def add(self, run: Run) -> None:
        self.runs.append(run)
        self.save()

    def keep_only(self, point: Point, commands: Mapping[str, list[str]], together: Sequence[str] = ()) -> None:
        """Drop all of a point if any run there is by another command of its side's, or one of the sides that measure ``together``
        is missing: what is left wouldn't have taken turns."""
        runs = self.at(point)
        others = any(run.command != commands.get(run.side, run.command) for run in runs)
        if others or not set(together) <= {run.side for run in runs}:
            self.runs = [run for run in self.runs if run.point != str(point)]

    def hopeless(self, point: Point) -> dict[str, str]:
        """llama.cpp's settings not worth trying at ``point``, each with the reason, from runs there and at shorter ones.

        Where a turn is cheap, one that was disturbed shall not decide: there only shorter points count.
        """
        reasons: dict[str, str] = {}
        for shorter in self.points(point.kind):
            if shorter.length > point.length or (shorter == point and point.length < CHEAP):
                break
            speeds = {side: speed(self.at(shorter), side) for side in THEIRS}
            measured = {side: found for side, found in speeds.items() if found is not None}
            for side, found in measured.items():
                if not found:
                    reasons.setdefault(side, f"over the time limit at {shorter}")
                elif found * HOPELESS < max(measured.values()):
                    reasons.setdefault(side, f"{found:.2f} against {max(measured.values()):.2f} tok/s at {shorter}")
        return reasons


def speed(runs: Iterable[Run], side: str) -> float | None:
    """Median tokens a second over all samples of a side; 0 if it only ran into its limit, None if it didn't run."""
    mine = [run for run in runs if run.side == side]
    samples = [sample for run in mine for sample in run.samples]
    return median(samples) if samples else 0.0 if mine else None


def better_setting(runs: Sequence[Run]) -> str | None:
    """The setting of llama.cpp that counts among a point's runs: the faster one. None if none got through."""
    speeds = {side: speed(runs, side) or 0.0 for side in THEIRS}
    best = max(speeds, key=lambda side: speeds[side])
    return best if speeds[best] else None


def neighbour_ratios(values: Iterable[tuple[str, float]], ours: str, theirs: str) -> list[float]:
    """Our value by theirs for each two neighbours of different sides, in the order of measuring; other sides are left out."""
    taken = [(side, value) for side, value in values if side in (ours, theirs) and value]
    pairs = [dict(pair) for pair in itertools.pairwise(taken) if pair[0][0] != pair[1][0]]
    return [pair[ours] / pair[theirs] for pair in pairs]


def llama_bench_samples(output: str, test: tuple[int, int, int]) -> list[float]:
    """Tokens a second of each repetition, from ``llama-bench -o json`` of one test (prompt, generated, depth).

    Raises:
        ValueError: it measured something else.
    """
    found = json.loads(output)
    tests = [(one["n_prompt"], one["n_gen"], one["n_depth"]) for one in found]
    if tests != [test]:
        raise ValueError(f"llama-bench measured {tests} (prompt, generated, depth), not {test}")
    return [float(sample) for sample in found[0]["samples_ts"]]


def our_samples(output: str, test: tuple[int, int, int]) -> list[float]:
    """The same from ``youtu-onnx bench -o json``."""
    found = json.loads(output)["results"]
    tests = [(one["prompt_tokens"], one["generated_tokens"], one["depth"]) for one in found]
    if tests != [test]:
        raise ValueError(f"youtu-onnx bench measured {tests} (prompt, generated, depth), not {test}")
    return [float(sample) for sample in found[0]["tokens_per_second"]["samples"]]
