"""The comparison with llama.cpp, on programs that claim known speeds instead of having some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.comparison import (
    OURS,
    OURS_INT8,
    THEIRS,
    Point,
    Results,
    Run,
    better_setting,
    llama_bench_samples,
    neighbour_ratios,
    our_samples,
    speed,
)
from benchmarks.llama_cpp import PROGRAMS, LlamaCpp
from docs.pictures.speed_chart import speed_picture

ROOT = Path(__file__).parents[2]
OFF, ON = THEIRS
DECODE = {OURS: {0: 21.3, 1024: 17.9, 16384: 5.1}, "llama.cpp": {0: 19.0, 1024: 8.6}}

FAKE = """#!{python}
import json, pathlib, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    print({name!r}, *arguments, file=log)
if "-i" in arguments:
    sys.stdin.read()
if "-r" not in arguments:
    sys.exit(print("a token"))
option = lambda name: int(arguments[arguments.index(name) + 1])
prompt, generated, depth, count = map(option, ("-p", "-n", "-d", "-r"))
"""
FAKE_OURS = """
samples = [60.0 if prompt else 20.0] * count
print(json.dumps({"results": [{"prompt_tokens": prompt, "generated_tokens": generated, "depth": depth,
                               "tokens_per_second": {"samples": samples}}]}))
"""
FAKE_LLAMA = """
slow = 10 if option("-fa") and depth >= 1024 else 1
samples = [(50.0 if prompt else 16.0) / slow + 0.5 * (not option("-fa"))] * count
print(json.dumps([{"n_prompt": prompt, "n_gen": generated, "n_depth": depth, "samples_ts": samples}]))
"""


def run(point: str, side: str, *samples: float, turn: int = 0) -> Run:
    return Run(point, side, turn, 32, list(samples), [side], 1.0)


class TestArithmetic:
    def test_points_are_written_as_kind_and_length(self):
        assert Point.parse("decode@4096").test(generated=32) == (0, 32, 4096)
        assert Point.parse("prefill@512").test(generated=32) == (512, 0, 0)
        assert str(Point.parse("decode@0")) == "decode@0"
        for wrong in ("decode", "decode@-1", "prefill@0", "start@1"):
            with pytest.raises(ValueError, match="decode@4096"):
                Point.parse(wrong)

    def test_each_turn_is_compared_with_its_neighbours_in_time(self):
        turns = [(OURS, 20.0), (OFF, 10.0), (OURS, 30.0), (OFF, 15.0)]
        assert neighbour_ratios(turns, OURS, OFF) == [2.0, 3.0, 2.0]
        assert neighbour_ratios(turns[:3], OURS, OFF) == [2.0, 3.0]

    def test_other_sides_and_turns_without_a_value_are_left_out(self):
        turns = [(OURS, 20.0), (OFF, 10.0), (ON, 1.0), (OURS, 30.0), (OFF, 0.0)]
        assert neighbour_ratios(turns, OURS, OFF) == [2.0, 3.0]
        assert neighbour_ratios(turns, OURS, ON) == [20.0, 30.0]
        assert neighbour_ratios([(OURS, 20.0), (OURS, 30.0)], OURS, OFF) == []

    def test_the_faster_setting_counts(self):
        runs = [run("decode@0", OURS, 9.0), run("decode@0", OFF, 5.0, 7.0), run("decode@0", ON, 6.5, 6.6)]
        assert better_setting(runs) == ON
        assert speed(runs, OFF) == 6.0
        assert better_setting(runs[:1]) is None
        assert better_setting([run("decode@0", OFF)]) is None

    def test_a_hopeless_setting_is_left_at_longer_points_of_the_kind(self, tmp_path: Path):
        results = Results(tmp_path / "results.json")
        results.runs = [
            run("decode@1024", OFF, 8.0),
            run("decode@1024", ON, 5.0),
            run("decode@64", OFF, 1.0),
            run("decode@64", ON, 2.0),
        ]
        assert not results.hopeless(Point.parse("decode@64")), "short points get all of their turns"
        assert set(results.hopeless(Point.parse("decode@512"))) == {OFF}
        assert results.hopeless(Point.parse("decode@1024"))[ON] == "5.00 against 8.00 tok/s at decode@1024"
        assert not results.hopeless(Point.parse("prefill@4096"))

    def test_a_setting_over_the_time_limit_is_hopeless(self, tmp_path: Path):
        results = Results(tmp_path / "results.json", runs=[run("decode@4096", OFF, 4.0), run("decode@4096", ON)])
        assert results.hopeless(Point.parse("decode@16384")) == {ON: "over the time limit at decode@4096"}

    def test_results_survive_the_disk(self, tmp_path: Path):
        results = Results(
            tmp_path / "results.json",
            {"threads": 2},
            [run("decode@0", OURS, 1.5)],
            [(OURS, 0.5)],
            {OURS: {"resident": 5, "anonymous": None}},
        )
        results.save()
        assert Results.load(results.path) == results

    def test_runs_by_another_command_are_dropped_with_their_point(self, tmp_path: Path):
        results = Results(
            tmp_path / "results.json", runs=[run("decode@0", OURS, 1.0), run("decode@0", OFF, 1.0), run("decode@64", OURS, 1.0)]
        )
        results.keep_only(Point.parse("decode@0"), {OURS: [OURS], OFF: [OFF]}, [OURS])
        assert len(results.runs) == 3
        results.keep_only(Point.parse("decode@0"), {OURS: [OURS], OFF: ["another"]})
        assert [kept.point for kept in results.runs] == ["decode@64"]
        results.keep_only(Point.parse("decode@64"), {OURS: [OURS]}, [OURS, OURS_INT8])
        assert not results.runs


class TestReading:
    def test_llama_bench(self):
        output = json.dumps(
            [
                {
                    "build_commit": "x",
                    "n_prompt": 0,
                    "n_gen": 32,
                    "n_depth": 64,
                    "avg_ts": 4.5,
                    "samples_ns": [8_000_000_000, 6_400_000_000],
                    "samples_ts": [4, 5.0],
                }
            ]
        )
        assert llama_bench_samples(output, (0, 32, 64)) == [4.0, 5.0]
        with pytest.raises(ValueError, match=r"\(0, 32, 64\).*not \(0, 16, 64\)"):
            llama_bench_samples(output, (0, 16, 64))

    def test_ours(self):
        output = json.dumps(
            {
                "bundle": "x",
                "results": [
                    {
                        "test": "pp512",
                        "prompt_tokens": 512,
                        "generated_tokens": 0,
                        "depth": 0,
                        "tokens_per_second": {"median": 4.5, "samples": [4, 5]},
                    }
                ],
            }
        )
        assert our_samples(output, (512, 0, 0)) == [4.0, 5.0]
        with pytest.raises(ValueError, match="youtu-onnx bench measured"):
            our_samples(output, (512, 0, 64))

    def test_ours_as_the_command_writes_it(self, nano_bundle):
        done = processes.run(
            [
                sys.executable,
                "-m",
                "youtu_onnx.cli",
                "bench",
                str(nano_bundle()),
                "-p",
                "0",
                "-n",
                "2",
                "-d",
                "4",
                "-r",
                "3",
                "-t",
                "1",
                "-o",
                "json",
            ]
        )
        assert done.output is not None
        assert len(our_samples(done.output, (0, 2, 4))) == 3


class TestChart:
    @staticmethod
    def drawn(svg: str, kind: str) -> list[ElementTree.Element]:
        return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{kind}"))

    def test_both_sides_are_drawn_and_named(self):
        svg = speed_picture(DECODE, {OURS: {512: 66.0}, "llama.cpp": {512: 56.0}}, "a <model> & more")
        texts = [text.text for text in self.drawn(svg, "text")]
        for expected in (OURS, "llama.cpp", "21.3", "8.6", "66", "16,384", "a <model> & more"):
            assert expected in texts
        lines = {line.get("class"): len(line.get("points", "").split()) for line in self.drawn(svg, "polyline")}
        assert lines == {"line s0": 3, "line s1": 2}
        assert len(self.drawn(svg, "circle")) == 2 + 5 + 2

    def test_more_is_higher_and_nothing_leaves_the_picture(self):
        dots = [(float(dot.get("cx", 0)), float(dot.get("cy", 0))) for dot in self.drawn(speed_picture(DECODE, {}), "circle")]
        first, second, third, theirs, _ = dots[2:]
        assert first[1] < second[1] < third[1]
        assert first[0] < second[0] < third[0]
        assert theirs[0] == first[0] and theirs[1] > first[1]
        assert all(0 <= x <= 760 and 0 <= y <= 330 for x, y in dots)

    def test_a_missing_length_is_a_gap(self):
        svg = speed_picture({OURS: {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}, "llama.cpp": {0: 4.0, 1: 3.0, 3: 1.0}}, {})
        theirs = [line.get("points", "") for line in self.drawn(svg, "polyline") if line.get("class") == "line s1"]
        assert [len(line.split()) for line in theirs] == [2]


class TestProcesses:
    def test_a_failing_program_is_quoted(self):
        with pytest.raises(RuntimeError, match=r"exit code 3:\nwrong weights"):
            processes.run([sys.executable, "-c", "import sys; print('wrong weights', file=sys.stderr); sys.exit(3)"])
        with pytest.raises(RuntimeError, match="exit code 3"):
            processes.seconds_to_output([sys.executable, "-c", "raise SystemExit(3)"])

    @pytest.mark.parametrize("program", ["print('x', flush=True); time.sleep(1)", "time.sleep(1); print('x')", "time.sleep(1)"])
    def test_output_counts_and_the_end_only_without_it(self, program):
        started = time.perf_counter()
        seconds = processes.seconds_to_output([sys.executable, "-c", f"import time; {program}"])
        left = time.perf_counter() - started - seconds
        assert (left >= 1) == program.startswith("print")

    def test_one_over_its_limit_is_stopped(self):
        done = processes.run([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(3600)"], limit=0.5)
        assert done.output is None

    def test_memory_is_that_of_the_program_at_rest(self):
        hold = "import sys; held = bytes(range(256)) * 2**18; sys.stdin.read()"
        held = processes.memory_when_idle([sys.executable, "-c", hold], idle=0.3)
        assert held.resident > 2**26
        assert held.anonymous is None or 2**26 < held.anonymous <= held.resident

    @pytest.mark.skipif(os.name == "nt", reason="cat is a program of POSIX")
    def test_one_that_was_done_before_the_clock_of_processor_time_ticked_is_at_rest(self):
        assert processes.memory_when_idle(["cat"], idle=0.3, limit=60).resident > 0

    def test_one_that_works_is_not_at_rest(self):
        with pytest.raises(RuntimeError, match="was still busy after 1 s"):
            processes.memory_when_idle([sys.executable, "-c", "while True: pass"], idle=0.3, limit=1.0)

    def test_one_that_ends_has_no_memory_at_rest(self):
        with pytest.raises(RuntimeError, match=r"ended instead of waiting:\nno such model"):
            processes.memory_when_idle([sys.executable, "-c", "print('no such model')"])


@pytest.mark.skipif(os.name == "nt", reason="the programs are scripts with a first line that says what runs them")
class TestCommand:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        """A folder with a llama.cpp build, a GGUF and our side, all of them fake, and a log of their calls."""
        programs = tmp_path / "llama" / "build" / "bin"
        programs.mkdir(parents=True)
        (tmp_path / "llama" / "llama_cpp_python-1.2.3" / "vendor" / "llama.cpp").mkdir(parents=True)
        for path, rest in [*((programs / name, FAKE_LLAMA) for name in PROGRAMS), (tmp_path / "ours", FAKE_OURS)]:
            head = FAKE.format(python=sys.executable, log=str(tmp_path / "log"), name=path.name)
            path.write_text(head + rest, encoding="utf-8")
            path.chmod(0o755)
        (tmp_path / "q4_0.gguf").write_bytes(bytes(1000))
        return tmp_path

    @staticmethod
    def start(place: Path, bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.against_llama_cpp",
                "checkpoint",
                "--bundle",
                str(bundle),
                "--scratch",
                str(place / "scratch"),
                "--llama-cpp",
                str(place / "llama"),
                "--gguf",
                str(place / "q4_0.gguf"),
                "--youtu-onnx",
                str(place / "ours"),
                "-t",
                "1",
                *arguments,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    @staticmethod
    def calls(place: Path) -> list[str]:
        log = place / "log"
        found = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
        log.unlink(missing_ok=True)
        return found

    @pytest.fixture
    def bundle(self, nano_bundle) -> Path:
        return nano_bundle()

    def test_sides_take_turns_and_a_hopeless_setting_is_left(self, place: Path, bundle: Path):
        done = self.start(place, bundle, "--only", "decode@0,prefill@16,decode@2048,decode@4096", "--turns", "2")
        assert done.returncode == 0, done.stderr
        calls = [call for call in self.calls(place) if "-d 0" not in call]
        depths = [(call.split()[0], "fa 1" if "-fa 1" in call else "", call.split("-d ")[1].split()[0]) for call in calls]
        ours, off, on = ("ours", ""), ("llama-bench", ""), ("llama-bench", "fa 1")
        assert depths == [(*side, "2048") for side in (ours, off, on, ours, off)] + [
            (*side, "4096") for side in (ours, off, ours, off, ours)
        ]
        table = (place / "scratch" / "comparison.md").read_text(encoding="utf-8")
        for context, pairs in (("0 to 128", 3), ("4096 to 4128", 4)):
            row = next(line for line in table.splitlines() if f"decode, context {context} " in line)
            assert "| 20 (20 to 20) | 16.5 (16.5 to 16.5), -fa 0 |" in row
            assert f"| **1.21** (1.21 to 1.21, {pairs} pairs) |" in row
        assert "| prefill, 16 tokens | 60 (60 to 60) | 50.5 (50.5 to 50.5), -fa 0 | **1.19**" in table
        assert "decode with llama.cpp -fa 1 wasn't tried further: 1.60 against 16.50 tok/s at decode@2048." in table
        assert "llama-bench -m GGUF -p 0 -n 128 -d 0 -r 1 -t 1 -fa 0 -o json" in table
        assert str(place) not in table and sys.executable not in table
        ElementTree.parse(place / "scratch" / "speed.svg")

    def test_a_bundle_with_an_int8_cache_takes_its_turns_at_long_contexts(self, place: Path, bundle: Path, nano_bundle):
        only = ("--only", "decode@0,decode@4096", "--turns", "1", "--int8-bundle", str(nano_bundle(cache="latent-int8")))
        assert self.start(place, bundle, *only).returncode == 0
        calls = [(call.split()[0], call.split("-d ")[1].split()[0]) for call in self.calls(place)]
        ours, theirs = "ours", "llama-bench"
        assert calls == [(side, "0") for side in (ours, theirs, theirs)] + [
            (side, "4096") for side in (ours, ours, theirs, theirs, ours, ours)
        ]
        table = (place / "scratch" / "comparison.md").read_text(encoding="utf-8")
        row = next(line for line in table.splitlines() if "context 4096 to 4128, int8 cache" in line)
        assert "**1.21** (1.21 to 1.21, 2 pairs)" in row
        assert "cache, a token, int8 cache" in table and "bench INT8_BUNDLE -p 0" in table
        assert self.start(place, bundle, *only, "--resume").returncode == 0
        assert not self.calls(place)
        assert self.start(place, bundle, *only[:-2], "--resume").returncode == 0
        assert not self.calls(place), "the other bundle's runs stay"

    def test_resuming_makes_only_what_is_missing(self, place: Path, bundle: Path):
        only = ("--only", "decode@0", "--turns", "2")
        assert self.start(place, bundle, *only).returncode == 0
        first = self.calls(place)
        assert len(first) == 6

        refused = self.start(place, bundle, *only)
        assert refused.returncode == 1 and "--resume" in refused.stderr and not self.calls(place)

        path = place / "scratch" / "comparison.json"
        saved = json.loads(path.read_text(encoding="utf-8"))
        lost = saved["runs"].pop()
        path.write_text(json.dumps(saved), encoding="utf-8")
        resumed = self.start(place, bundle, *only, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        assert self.calls(place) == ["llama-bench " + " ".join(lost["command"][1:])]
        assert len(json.loads(path.read_text(encoding="utf-8"))["runs"]) == 6

        more = self.start(place, bundle, *only, "--resume", "-n", "64")
        assert more.returncode == 0, more.stderr
        assert len(self.calls(place)) == 6, "another command: all of the point is made again"

        (place / "q4_0.gguf").write_bytes(bytes(2000))
        changed = self.start(place, bundle, *only, "--resume")
        assert changed.returncode == 1 and "file_bytes" in changed.stderr and not self.calls(place)

    def test_drawing_again_measures_nothing(self, place: Path, bundle: Path):
        assert self.start(place, bundle, "--only", "prefill@16", "--turns", "1").returncode == 0
        self.calls(place)
        scratch = place / "scratch"
        before = (scratch / "comparison.md").read_text(encoding="utf-8")
        for name in ("comparison.md", "speed.svg"):
            (scratch / name).unlink()
        done = self.start(place, bundle, "--render", "--picture", str(place / "copy.svg"))
        assert done.returncode == 0, done.stderr
        assert not self.calls(place)
        assert (scratch / "comparison.md").read_text(encoding="utf-8") == before
        assert (scratch / "speed.svg").read_bytes() == (place / "copy.svg").read_bytes()

    def test_first_tokens_and_memory(self, place: Path, bundle: Path):
        done = self.start(place, bundle, "--only", "start,memory", "--turns", "1")
        assert done.returncode == 0, done.stderr
        calls = self.calls(place)
        assert sum(call.startswith("ours generate") for call in calls) == 2, "one turn to fill the file cache, one that counts"
        assert sum(call.startswith("llama-completion") for call in calls) == 3
        assert "-c 4096" in calls[-1] and calls[-1].endswith(" -i")
        saved = Results.load(place / "scratch" / "comparison.json")
        assert [side for side, _ in saved.starts] == ["youtu-onnx generate", "youtu-onnx, runtime alone", "llama.cpp"]
        assert saved.memory.keys() == {OURS, "llama.cpp"}
        assert "idle after 16 tokens: resident" in done.stdout and "youtu-onnx, runtime alone" in done.stdout


def test_a_build_that_is_there_is_found(tmp_path: Path):
    programs = tmp_path / "build" / "bin"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        (programs / name).touch()
    source = tmp_path / "llama_cpp_python-0.3.36" / "vendor" / "llama.cpp"
    source.mkdir(parents=True)
    assert LlamaCpp.find_or_build(tmp_path) == LlamaCpp(source, programs)
    assert LlamaCpp(source, programs).version == "llama-cpp-python 0.3.36"
