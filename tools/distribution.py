"""Build the wheel and the sdist, look into them, and use the wheel where nothing else is.

    python -m tools.distribution          leaves both in dist/; works in build/alone

1. ``python -m build``: the wheel is made from the unpacked sdist, so the sdist has all that it takes.
2. ``twine check``.
3. The wheel has one import name, and exactly the files that it should.
4. In an empty environment, without extras and outside of this folder, ``youtu-onnx doctor`` and ``generate`` work on a bundle
   that was exported here. torch isn't there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
ALONE = ROOT / "build" / "alone"
PACKAGE = "youtu_onnx"
BESIDE = ("exporters", "runtimes")
OTHER_LANGUAGES = ROOT / "runtimes" / "consumers"
DATA = ("py.typed", "models/youtu_nano/model.safetensors", "models/microreason/model.safetensors", "serve/page/index.html")
EXPORT_ONLY = ("torch", "transformers", "onnx", "safetensors")
PROMPT = "What is 47 + 38?"
PROGRAM = (sys.executable, "-m", "youtu_onnx.cli")


def main() -> None:
    wheel = build()
    check_contents(wheel)
    check_alone(wheel)


def build() -> Path:
    """Write both to :data:`DIST`; the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT, quiet=True)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir()))
    [wheel] = DIST.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        [top_level] = (name for name in names if name.endswith(".dist-info/top_level.txt"))
        listed = archive.read(top_level).decode().splitlines()
    if listed != [PACKAGE]:
        sys.exit(f"{wheel.name}: top_level.txt says {listed}, expected only {PACKAGE}")
    found = {name for name in names if ".dist-info/" not in name}
    expected = set(shipped())
    if wrong := found ^ expected:
        lines = (f"  {'missing' if name in expected else 'not ours'}: {name}" for name in sorted(wrong))
        sys.exit("\n".join([f"{wheel.name} differs from the folders:", *lines]))
    if lacking := [name for name in DATA if f"{PACKAGE}/{name}" not in found]:
        sys.exit(f"neither {wheel.name} nor the folders have {lacking}")
    print(f"{wheel.name}: {len(found)} files, {wheel.stat().st_size / 1e6:.1f} MB")


def shipped() -> Iterator[str]:
    """Paths in a wheel: all of ``youtu_onnx/``, and the Python of the folders beside it."""
    for path in files(ROOT / PACKAGE):
        yield path.relative_to(ROOT).as_posix()
    for name in BESIDE:
        for path in files(ROOT / name):
            if path.suffix == ".py" and not path.is_relative_to(OTHER_LANGUAGES):
                yield f"{PACKAGE}/{path.relative_to(ROOT).as_posix()}"


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def check_alone(wheel: Path) -> None:
    shutil.rmtree(ALONE, ignore_errors=True)
    ALONE.mkdir(parents=True)
    bundle = ALONE / "bundle"
    run(*PROGRAM, "export", "-m", "youtu-nano", "-o", bundle, "--no-verify", quiet=True)
    expected = answer(PROGRAM, bundle)

    venv.create(ALONE / "venv", with_pip=True)
    python = ALONE / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "-c", ROOT / "constraints.txt", wheel)
    run(*pip, "check")
    script = python.with_name("youtu-onnx.exe" if os.name == "nt" else "youtu-onnx")
    there = run(python, "-c", f"import importlib.util as u; print(*(n for n in {EXPORT_ONLY} if u.find_spec(n)))", quiet=True)
    if there.strip():
        sys.exit(f"{wheel.name} without extras brings {there.strip()}")
    run(script, "doctor", cwd=ALONE, quiet=True)
    found = answer([script], bundle)
    if found != expected:
        sys.exit(f"the wheel alone answers {found!r}, this environment {expected!r}")
    print(f"{wheel.name} alone: {PROMPT} {found!r}")


def answer(program: Sequence[object], bundle: Path) -> str:
    told = run(*program, "generate", bundle, "--prompt", PROMPT, "--greedy", "--json", cwd=ALONE, quiet=True)
    return str(json.loads(told)["answer"])


def run(*command: object, cwd: Path = ROOT, quiet: bool = False) -> str:
    """What it printed where ``quiet``; otherwise that is shown, and "" returned. A command that fails ends this program."""
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, capture_output=quiet, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout or ''}{done.stderr or ''}\nfailed with exit code {done.returncode}: {' '.join(words)}")
    return done.stdout or ""


if __name__ == "__main__":
    main()
