"""A folder with an arm64 Python, numpy and onnxruntime, which qemu runs on any Linux.

    python -m tests.consumers.aarch64_root FOLDER
    YOUTU_ONNX_AARCH64_ROOT=FOLDER python -m pytest tests/consumers/test_aarch64.py

Needs Debian or a system like it with ``qemu-user-static``, ``dpkg-deb`` and apt, but no rights: apt keeps its lists and
packages inside the folder, and nothing is installed outside it. Takes about 200 MB and a minute or two.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "YOUTU_ONNX_AARCH64_ROOT"
QEMU = "qemu-aarch64-static"
SUITE = "bookworm"
PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1")
PYTHON = "usr/bin/python3.11"
WHEELS = ("onnxruntime", "numpy")
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
SITE = "wheels"
"""Where the wheels lie in the folder."""
CPUINFO = "".join(
    f"processor\t: {core}\nBogoMIPS\t: 100.00\nFeatures\t: fp asimd crc32 asimdhp asimddp\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n"
    for core in range(2)
)
"""What the processor says of itself. Without it, onnxruntime reads that of the machine underneath, and crashes."""


def make(folder: Path) -> None:
    """Fill ``folder``, which must be empty or missing; it is there whole or not at all."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    root = partial / "root"
    root.mkdir(parents=True)
    for name in ("bin", "lib", "sbin"):  # as Debian has them; packages unpack through the links
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in _download(partial / "apt"):
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=(partial / "tar").open("wb"))
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root, "-f", partial / "tar"], check=True)
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(CPUINFO)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            root / SITE,
            "--no-deps",
            "--only-binary=:all:",
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
            "--platform",
            "manylinux_2_28_aarch64",
            "--platform",
            "manylinux_2_27_aarch64",
            "--platform",
            "manylinux2014_aarch64",
            "--constraint",
            CONSTRAINTS,
            *WHEELS,
        ],
        check=True,
    )
    shutil.rmtree(partial / "apt")
    os.replace(root, folder)
    shutil.rmtree(partial)


def _download(folder: Path) -> list[Path]:
    """The packages and all that they depend on, as apt resolves it for a machine that has nothing yet."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(
        f"deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {SUITE} main\n"
    )
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    for command in (["update"], ["install", "--download-only", "--yes", *PACKAGES]):
        subprocess.run(["apt-get", "--quiet", *options, *command], check=True, stdout=subprocess.DEVNULL)
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def python(folder: Path, *args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the folder's Python on ``args``. Paths in them are this machine's: only what the folder has hides them."""
    command: Sequence[str | Path] = [QEMU, "-L", folder, folder / PYTHON, *args]
    environment = {
        "PATH": "/usr/bin",
        "PYTHONPATH": str(folder / SITE),
        "PYTHONHOME": str(folder / "usr"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, timeout=600, check=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {Path(sys.argv[0]).stem} FOLDER")
    target = Path(sys.argv[1]).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        sys.exit(f"{target} is not an empty folder; name another")
    try:
        make(target)
    except subprocess.CalledProcessError as error:
        program = " ".join(map(str, error.cmd[:1] if error.cmd[0] != sys.executable else ("pip",)))
        sys.exit(f"{target} could not be made: {program} ended with {error.returncode}. It needs Debian's mirror and PyPI.")
    done = python(target, "-c", "import onnxruntime, platform; print(platform.machine(), onnxruntime.__version__)")
    if done.returncode:
        sys.exit(f"{target} was made, but its Python does not run:\n{done.stderr}")
    print(f"{target}: onnxruntime on {done.stdout.strip()}")
