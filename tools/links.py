"""Show type checkers and import-linter one folder that looks like the installed package.

    python tools/links.py          writes build/links/youtu_onnx

``exporters/`` and ``runtimes/`` lie beside ``youtu_onnx/`` and are imported as parts of it (``setup.py`` maps them). Python
learns of that from the editable install's import hook. Programs that read files instead of importing them see no hook: to them
``youtu_onnx.runtimes`` doesn't exist, and they would check nothing of it. In ``build/links`` the two folders lie where they are
imported from, as symbolic links, or as copies where the system has no links (Windows without developer mode).

Started from that folder, a checker sees one ordinary package. Programs of this repository that import it (``benchmarks/``,
``training/``, ``docs/``, ``tests/``) lie beside it there. Links are made anew each time, so copies are never stale.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "links"
BESIDE = ("exporters", "runtimes")
PROGRAMS = ("benchmarks", "training", "docs", "tests")


def main() -> None:
    package = FOLDER / "youtu_onnx"
    shutil.rmtree(FOLDER, ignore_errors=True)  # removes links, not what they lead to
    package.mkdir(parents=True)
    for source in sorted((ROOT / "youtu_onnx").iterdir()):
        if source.name != "__pycache__":
            show(source, package / source.name)
    for name in BESIDE:
        show(ROOT / name, package / name)
    for name in PROGRAMS:
        show(ROOT / name, FOLDER / name)


def show(source: Path, place: Path) -> None:
    try:
        place.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:  # no links on this file system, or no right to make them
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy2(source, place)


if __name__ == "__main__":
    main()
