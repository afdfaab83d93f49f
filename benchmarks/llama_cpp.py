"""llama.cpp, to measure beside: found, or built from the source that PyPI's llama-cpp-python carries.

    python -m benchmarks.llama_cpp --folder ~/.cache/youtu-onnx/llama.cpp

needs pip, cmake and a C++ compiler, and takes about ten minutes on two cores. An interrupted build goes on where it stopped.
Nothing of it becomes part of this project.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache" / "youtu-onnx" / "llama.cpp"
PACKAGE, VERSION = "llama-cpp-python", "0.3.36"  # pinned: programs' options and CONVERT's inner names differ between versions
PROGRAMS = ("llama-bench", "llama-quantize", "llama-completion")
SERVER = "llama-server"  # some minutes more, for benchmarks.serving alone
CONVERT = """
import runpy, sys
sys.path.insert(0, {source!r}); sys.path.insert(0, {gguf!r})
from conversion.base import TextModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "youtu"  # it knows tokenizers by a hash, and not our small one
sys.argv = ["convert_hf_to_gguf.py", *{arguments!r}]
runpy.run_path({script!r}, run_name="__main__")
"""


@dataclass(frozen=True)
class LlamaCpp:
    """A source tree and its built programs."""

    source: Path
    programs: Path

    @classmethod
    def find_or_build(cls, folder: Path = CACHE, jobs: int | None = None, programs: Sequence[str] = PROGRAMS) -> LlamaCpp:
        """The build in ``folder``; made there if it isn't, or lacks one of the programs, with ``jobs`` compilers at a time.

        Raises:
            RuntimeError: a step failed; what it said is on stderr.
        """
        source = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"), None)
        if source is None:
            source = _download(folder)
        found = cls(source, folder / "build" / "bin")
        missing = [name for name in programs if not (found.programs / name).is_file()]
        if missing:
            _build(source, folder / "build", missing, jobs or os.cpu_count() or 1)
        return found

    @property
    def version(self) -> str:
        """Of the package that carried the source, as ``llama-cpp-python 0.3.36``."""
        return f"{PACKAGE} {self.source.parent.parent.name.rpartition('-')[2]}"

    def convert_command(self, checkpoint: Path, output: Path) -> list[str]:
        """Command that writes a checkpoint as float16 GGUF."""
        arguments = [str(checkpoint), "--outfile", str(output), "--outtype", "f16"]
        script = CONVERT.format(
            source=str(self.source),
            gguf=str(self.source / "gguf-py"),
            arguments=arguments,
            script=str(self.source / "convert_hf_to_gguf.py"),
        )
        return [sys.executable, "-c", script]

    def quantize_command(self, source: Path, output: Path, kind: str = "Q4_0") -> list[str]:
        return [str(self.programs / "llama-quantize"), str(source), str(output), kind]

    def bench_command(self, model: Path, *arguments: str) -> list[str]:
        return [str(self.programs / "llama-bench"), "-m", str(model), *arguments, "-o", "json"]

    def first_token_command(self, model: Path, prompt: str, *arguments: str) -> list[str]:
        """Command that continues a plain text by one token; without a warm-up run, which would come before that token."""
        return [
            str(self.programs / "llama-completion"),
            "-m",
            str(model),
            "-p",
            prompt,
            "-n",
            "1",
            "-no-cnv",
            "--no-warmup",
            "--ignore-eos",
            "--temp",
            "0",
            "--simple-io",
            "--no-display-prompt",
            *arguments,
        ]

    def converted(self, checkpoint: Path, folder: Path) -> Path:
        """The checkpoint as a float16 GGUF in ``folder``; written there if it isn't."""
        model = folder / "f16.gguf"
        if not model.is_file():
            part = folder / "f16.gguf.part"
            run_step(self.convert_command(checkpoint, part), "converting to GGUF failed")
            part.replace(model)
        return model

    def quantized(self, checkpoint: Path, folder: Path, kind: str = "Q4_0") -> Path:
        """The checkpoint as a quantized GGUF in ``folder``; written there if it isn't.

        On disk at once: the float16 file, 2 bytes a parameter, and the result. The first is deleted.
        """
        model = folder / f"{kind.lower()}.gguf"
        if not model.is_file():
            half, part = folder / "f16.gguf", folder / f"{kind.lower()}.gguf.part"
            run_step(self.convert_command(checkpoint, half), "converting to GGUF failed")
            run_step(self.quantize_command(half, part, kind), "quantizing the GGUF failed")
            half.unlink()
            part.replace(model)
        return model


def _download(folder: Path) -> Path:
    """Unpack the source; an interrupted call leaves nothing that looks like one."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        # Only this package from source: with ":all:" pip would also build its build tools from theirs
        run_step(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary",
                PACKAGE,
                "-d",
                temporary,
                f"{PACKAGE}=={VERSION}",
            ],
            f"pip couldn't download {PACKAGE} {VERSION}",
        )
        with tarfile.open(next(Path(temporary).glob("*.tar.gz"))) as archive:
            archive.extractall(temporary, filter="data")
        tree = next(Path(temporary).glob("llama_cpp_python-*/vendor/llama.cpp")).parent.parent
        return tree.rename(folder / tree.name) / "vendor" / "llama.cpp"


def _build(source: Path, build: Path, programs: list[str], jobs: int) -> None:
    off = ["CURL", "OPENSSL", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_APP", "BUILD_UI"]
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DGGML_NATIVE=ON",
        "-DLLAMA_BUILD_SERVER=ON",
        *(f"-DLLAMA_{name}=OFF" for name in off),
    ]
    if not any((build / name).is_file() for name in ("Makefile", "build.ninja")):  # what a configuration that went through leaves
        run_step(["cmake", "-S", str(source), "-B", str(build), *options], "cmake couldn't configure llama.cpp")
    run_step(["cmake", "--build", str(build), f"-j{jobs}", "--target", *programs], "llama.cpp didn't build")


def run_step(command: list[str], failure: str) -> None:
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{failure}: {error}") from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=CACHE)
    parser.add_argument("--jobs", type=int, help="compilers at a time; without it, one per core")
    parser.add_argument("--server", action="store_true", help="build its server, too")
    options = parser.parse_args()
    wanted = (*PROGRAMS, SERVER) if options.server else PROGRAMS
    print(LlamaCpp.find_or_build(options.folder, options.jobs, wanted).programs)
