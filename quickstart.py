"""Set everything up and run it, on a machine that has nothing but Python 3.11 or later.

    python3 quickstart.py demo     export the shipped model to int4, verify it, talk to it
    python3 quickstart.py test     run the tests (more arguments go to pytest)
    python3 quickstart.py setup    neither: only what both need, and the tools that a contributor needs

Makes a virtual environment in .venv beside this file, once, and installs the project into it.

PyTorch is pinned in constraints.txt. On Linux, PyPI's torch brings gigabytes of CUDA libraries; where a dry run says that
it would, the same version comes from PyTorch's own index of CPU builds instead.

The native kernels (native/) are built with the machine's C compiler, or PyPI's ziglang where there is none. Where that fails, it
says so in a line, and ONNX Runtime's own kernels compute everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = HERE / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
STAMP = VENV / "installed"
NATIVE = HERE / "native"
NATIVE_STAMP = VENV / "native"


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python reads this file, too)
        print(f"Python 3.11 or later is needed; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if not arguments or arguments[0] not in ("demo", "test", "setup"):
        print(__doc__, file=sys.stderr)
        return 2
    set_up()
    take_native()
    command, *rest = arguments
    if command == "setup":
        return 0
    if command == "demo":
        return run([PYTHON, "-m", "youtu_onnx.cli", "demo", *rest])
    return run([PYTHON, "-m", "pytest", "-n", "auto", *rest], cwd=HERE)


def set_up() -> None:
    """Install once; again when pyproject.toml or constraints.txt changed since."""
    wanted = hashlib.sha256((HERE / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    print(f"Setting up {VENV} (once; 1.4 GB) …", file=sys.stderr)
    venv.create(VENV, with_pip=True, symlinks=os.name != "nt")  # as `python -m venv`, which may have made one already
    pip("install", "--upgrade", "pip>=24")
    torch = next(line.split(";")[0].strip() for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    pip("install", torch, *(["--index-url", CPU_INDEX] if brings_cuda(torch) else []))
    pip("install", "-c", str(CONSTRAINTS), "-e", f"{HERE}[export,genai,serve,dev]")
    STAMP.write_text(wanted)


def take_native() -> None:
    """Build and install the native kernels, or say why not; once, and again when their sources changed since."""
    files = sorted(one for pattern in ("*.py", "*.toml", "src/*.[ch]", "youtu_onnx_native/*.py") for one in NATIVE.glob(pattern))
    wanted = hashlib.sha256(b"".join(one.read_bytes() for one in files)).hexdigest()
    if NATIVE_STAMP.is_file() and NATIVE_STAMP.read_text() == wanted:
        return
    options = ("--quiet", "--disable-pip-version-check", "--force-reinstall", "--no-deps")
    command = [str(PYTHON), "-m", "pip", "install", *options, str(NATIVE)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if "error" in line.lower() or "no C compiler" in line]
        said = next(
            (line for line in lines if not line.startswith(("note:", "error: subprocess-exited"))),
            f"pip failed with exit code {done.returncode}",
        )
        print(f"Native kernels can't be built here, so ONNX Runtime's own compute: {said}", file=sys.stderr)
    else:
        print("Native kernels are built and installed (docs/native.md).", file=sys.stderr)
    NATIVE_STAMP.write_text(wanted)


def brings_cuda(requirement: str) -> bool:
    """Whether pip would install CUDA libraries for this requirement here; asks without downloading them."""
    if not sys.platform.startswith("linux"):
        return False
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", requirement]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return any(item["metadata"]["name"].startswith(("nvidia-", "cuda-")) for item in report["install"])


def pip(*arguments: str) -> None:
    quiet = os.environ | {"PYTHONWARNINGS": "ignore"}  # setuptools warns of every editable install
    code = run([PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], env=quiet)
    if code:
        sys.exit(f"pip failed with exit code {code}; see above")


def run(command: list[object], cwd: Path | None = None, env: dict[str, str] | None = None) -> int:
    return subprocess.run([str(part) for part in command], cwd=cwd, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
