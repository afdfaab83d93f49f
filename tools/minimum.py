"""Tests with the lowest versions that ``pyproject.toml`` allows: are its lower bounds true?

    python -m tools.minimum              both environments below, in build/minimum
    python -m tools.minimum run          only the one that runs bundles

Each environment has exactly the lowest version of what the package names (``>=2.9`` becomes ``==2.9``), and the newest of what
those need and leave open. Only wheels are taken, and a lowest version has none for a Python that is newer than it, so use the
lowest Python. On Linux torch comes from PyTorch's index of CPU builds; where that can't be reached, PyPI's brings gigabytes of
CUDA libraries.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quickstart import CPU_INDEX

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "minimum"
TESTERS = ("pytest", "pytest-xdist", "hypothesis", "httpx", "jsonschema-rs")


@dataclass(frozen=True)
class Environment:
    """Extras of the package that are installed, and the tests that run there."""

    extras: tuple[str, ...]
    tests: tuple[str, ...]


ENVIRONMENTS: Mapping[str, Environment] = {
    "run": Environment(
        extras=(),
        tests=(
            "tests/text",
            "tests/chat/test_sampling.py",
            "tests/chat/test_prompt_lookup_generation.py",
            "tests/runtimes/test_providers.py",
            "tests/cli/test_console.py",
            "tests/inspect/test_doctor.py",
            "tests/docs",
        ),
    ),
    "all": Environment(
        extras=("export", "genai", "serve"),
        tests=(
            "tests/exporters",
            "tests/verify/test_verify.py",
            "tests/cli/test_generate.py",
            "tests/families/test_final_graph.py",
            "tests/runtimes/hf/test_generate.py",
            "tests/serve/http/test_api.py",
            "tests/serve/text",
        ),
    ),
}
"""``run`` has no torch: a test that needs it is skipped there."""


def main(names: Sequence[str]) -> int:
    if unknown := set(names) - set(ENVIRONMENTS):
        print(f"no such environment: {', '.join(sorted(unknown))}; there are {', '.join(ENVIRONMENTS)}", file=sys.stderr)
        return 2
    for name in names or ENVIRONMENTS:
        environment = ENVIRONMENTS[name]
        python = make(FOLDER / name, lowest(environment.extras))
        print(f"{name}: {' '.join(environment.tests)}", flush=True)
        tests = [str(python), "-m", "pytest", "-q", "-n", "2", *environment.tests]
        if code := subprocess.run(tests, cwd=ROOT, check=False).returncode:
            return code
    return 0


def lowest(extras: Sequence[str]) -> list[str]:
    """Requirements with ``==`` in place of ``>=``, as ``pyproject.toml`` lists them for the package and these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    if open_ended := [line for line in listed if not re.match(r"[\w-]+(\[[\w,]+\])?>=[\d.]+($|;)", line)]:
        sys.exit(f"pyproject.toml: no lowest version in {open_ended}")
    versions = dict(line.split(">=") for line in listed)  # an extra may ask for more than the package, and comes later
    return [f"{name}=={version}" for name, version in versions.items()]


def make(folder: Path, requirements: Sequence[str]) -> Path:
    """A new environment with these; its Python."""
    venv.create(folder, clear=True, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--upgrade", "pip"], check=True)
    print("installing", *requirements, flush=True)
    torch = [line for line in requirements if line.startswith("torch==")]
    if torch and sys.platform.startswith("linux"):
        subprocess.run([*pip, "--index-url", CPU_INDEX, *torch], check=False)  # if not, the next one does
    done = subprocess.run([*pip, "--only-binary=:all:", *requirements, *TESTERS], check=False)
    if done.returncode:
        sys.exit(f"these can't be installed together on Python {sys.version.split()[0]}; see above")
    subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
    return python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
