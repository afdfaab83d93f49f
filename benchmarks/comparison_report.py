"""Results of a comparison as Markdown and as a picture; no measuring."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.comparison import OURS, OURS_INT8, THEIRS, Point, Results, Run, better_setting, neighbour_ratios, speed
from docs.pictures.speed_chart import speed_picture

LLAMA = "llama.cpp"


def markdown(results: Results) -> str:
    """All tables. Every ratio is ours by theirs."""
    facts = results.facts
    parts = [
        f"{facts['machine']}. {facts['versions']}. Batch 1, {facts['threads']} threads on both sides, in turns; "
        f"llama.cpp with and without flash attention, the faster one counts. Ratios are youtu-onnx by llama.cpp: the median "
        f"over runs that were neighbours in time, and their range.",
        _speeds(results),
        _notes(results),
        _files(results),
        _memory(results),
        _starts(results),
        _commands(results),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def picture(results: Results) -> str | None:
    """None if no point was measured on both sides."""
    series: dict[str, dict[str, dict[int, float]]] = {}
    for kind in ("decode", "prefill"):
        series[kind] = {OURS: {}, LLAMA: {}}
        for point in results.points(kind):
            runs = results.at(point)
            setting = better_setting(runs)
            values = {OURS: speed(runs, OURS), LLAMA: speed(runs, setting) if setting else None}
            for side, value in values.items():
                if value:
                    series[kind][side][point.length] = value
    if not any(line for panel in series.values() for line in panel.values()):
        return None
    return speed_picture(series["decode"], series["prefill"], str(results.facts["model"]))


def _speeds(results: Results) -> str:
    rows = ["| tokens a second, more is better | youtu-onnx | llama.cpp | ratio |", "|---|---|---|---|"]
    for point in [*results.points("decode"), *results.points("prefill")]:
        runs = results.at(point)
        setting = better_setting(runs)
        for ours in (OURS, OURS_INT8):
            if ours == OURS_INT8 and not any(run.side == ours for run in runs):
                continue
            theirs, ratio = "over the time limit", ""
            if setting:
                theirs = f"{_samples(runs, setting)}, {setting.removeprefix(LLAMA).strip()}"
                ratio = _ratio(neighbour_ratios([(run.side, run.speed) for run in runs], ours, setting))
            elif not any(run.side in THEIRS for run in runs):
                theirs = "not run"
            label = _label(point, runs) + ours.removeprefix(OURS)
            rows.append(f"| {label} | {_samples(runs, ours)} | {theirs} | {ratio} |")
    return "\n".join(rows) if results.runs else ""


def _notes(results: Results) -> str:
    dropped: dict[str, str] = {}
    for kind in ("decode", "prefill"):
        if points := results.points(kind):
            dropped |= {f"{kind} with {side}": why for side, why in results.hopeless(points[-1]).items()}
    return "\n".join(f"- {what} wasn't tried further: {why}." for what, why in dropped.items())


def _files(results: Results) -> str:
    files, parameters = results.facts["file_bytes"], results.facts["parameters"]
    rows = ["| less is better | youtu-onnx | llama.cpp | ratio |", "|---|---|---|---|"]
    rows.append(f"| files | {files[OURS] / 1e9:.3f} GB | {files[LLAMA] / 1e9:.3f} GB | {files[OURS] / files[LLAMA]:.2f} |")
    ours, theirs = (files[side] * 8 / parameters for side in (OURS, LLAMA))
    rows.append(f"| bits a parameter, all files | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")
    cache = results.facts["cache_bytes_per_token"]
    for side in filter(cache.get, (OURS, OURS_INT8)):
        rows.append(
            f"| cache, a token{side.removeprefix(OURS)} | {cache[side] / 1024:.1f} KiB | {cache[LLAMA] / 1024:.1f} KiB | "
            f"{cache[side] / cache[LLAMA]:.2f} |"
        )
    return "\n".join(rows)


def _memory(results: Results) -> str:
    """Memory of the idle processes, and the most that was seen at the longest point of decoding."""
    rows: list[str] = []
    for label, key in (("resident", "resident"), ("of it the process's own (not the mapped file)", "anonymous")):
        held = {side: (results.memory.get(side) or {}).get(key) for side in (OURS, LLAMA)}
        rows += _bytes_row(f"idle after 16 tokens: {label}", held[OURS], held[LLAMA])
    for point in [point for point in results.points("decode") if point.length >= 4096]:
        runs = results.at(point)
        setting = better_setting(runs)
        for label, name in (("resident", "peak_resident"), ("own", "peak_anonymous")):
            peaks = [max((getattr(run, name) or 0 for run in runs if run.side == side), default=0) for side in (OURS, setting)]
            rows += _bytes_row(f"decoding at {point.length}: most {label}", *peaks)
    return "\n".join(["| memory, less is better | youtu-onnx | llama.cpp | ratio |", "|---|---|---|---|", *rows]) if rows else ""


def _bytes_row(label: str, ours: int | None, theirs: int | None) -> list[str]:
    if not ours or not theirs:
        return []
    return [f"| {label} | {ours / 1e9:.2f} GB | {theirs / 1e9:.2f} GB | {ours / theirs:.2f} |"]


def _starts(results: Results) -> str:
    if not results.starts:
        return ""
    rows = [
        "| process start to the first token after 16, warm file cache; less is better | seconds | to llama.cpp |",
        "|---|---|---|",
    ]
    for side in dict.fromkeys(side for side, _ in results.starts):
        times = [seconds for other, seconds in results.starts if other == side]
        ratio = "" if side == LLAMA else _ratio(neighbour_ratios(results.starts, side, LLAMA))
        rows.append(f"| {side} | {median(times):.2f} ({min(times):.2f} to {max(times):.2f}) | {ratio} |")
    return "\n".join(rows)


def _commands(results: Results) -> str:
    """Each command once, with names in place of folders."""
    shown: dict[str, None] = {}
    for run in results.runs:
        shown[displayed(run.command, results.facts["names"])] = None
    for command in results.facts.get("start_commands", []):
        shown[displayed(command, results.facts["names"])] = None
    return "```\n" + "\n".join(shown) + "\n```"


def displayed(command: Sequence[str], names: dict[str, str]) -> str:
    """A command as one would type it; ``names`` maps paths of this machine to what to call them."""
    return shlex.join(names.get(part, part) for part in command)


def _label(point: Point, runs: Iterable[Run]) -> str:
    generated = max((run.generated for run in runs), default=0)
    if point.kind == "prefill":
        return f"prefill, {point.length} tokens"
    return f"decode, context {point.length} to {point.length + generated}"


def _samples(runs: Sequence[Run], side: str) -> str:
    samples = [sample for run in runs if run.side == side for sample in run.samples]
    if not samples:
        return "not run"
    return f"{median(samples):.3g} ({min(samples):.3g} to {max(samples):.3g})"


def _ratio(ratios: Sequence[float]) -> str:
    if not ratios:
        return ""
    pairs = f"{len(ratios)} pair{'s' if len(ratios) > 1 else ''}"
    return f"**{median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}, {pairs})"
