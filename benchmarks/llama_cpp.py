"""llama.cpp, to measure beside: found, or built from the source that PyPI's llama-cpp-python carries.

    python -m benchmarks.llama_cpp --folder ~/.cache/youtu-onnx/llama.cpp

needs cmake and a C++ compiler, and takes about ten minutes on two cores. Nothing of it becomes part of this project.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path.home() / ".cache" / "youtu-onnx" / "llama.cpp"
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
    def find_or_build(cls, folder: Path = CACHE) -> LlamaCpp:
        """The build in ``folder``; made there if it isn't."""
        source = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"), None)
        if source is None:
            source = _download(folder)
        found = cls(source, folder / "build" / "bin")
        if not (found.programs / "llama-bench").is_file() or not (found.programs / "llama-quantize").is_file():
            _build(source, folder / "build")
        return found

    def convert_command(self, checkpoint: Path, output: Path) -> list[str]:
        """Command that writes a checkpoint as float16 GGUF."""
        arguments = [str(checkpoint), "--outfile", str(output), "--outtype", "f16"]
        script = CONVERT.format(source=str(self.source), gguf=str(self.source / "gguf-py"), arguments=arguments,
                                script=str(self.source / "convert_hf_to_gguf.py"))
        return [sys.executable, "-c", script]

    def quantize_command(self, source: Path, output: Path, kind: str = "Q4_0") -> list[str]:
        return [str(self.programs / "llama-quantize"), str(source), str(output), kind]

    def bench_command(self, model: Path, *arguments: str) -> list[str]:
        return [str(self.programs / "llama-bench"), "-m", str(model), *arguments, "-o", "json"]


def _download(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "scikit-build-core"], check=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
                        "--no-build-isolation", "-d", temporary, "llama-cpp-python"], check=True)
        with tarfile.open(next(Path(temporary).glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    return next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))


def _build(source: Path, build: Path) -> None:
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF",
               "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"]
    subprocess.run(["cmake", "-S", str(source), "-B", str(build), *options], check=True)
    subprocess.run(["cmake", "--build", str(build), "-j2", "--target", "llama-bench", "llama-quantize"], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=CACHE)
    print(LlamaCpp.find_or_build(parser.parse_args().folder).programs)
