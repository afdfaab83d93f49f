"""A folder in which the JavaScript consumers run: copies of them beside one node_modules.

The packages are those of the consumers' own ``package.json`` files, installed once by npm into pytest's cache.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
RUNTIMES = HERE.parents[2] / "runtimes" / "consumers"
CONSUMERS = ("javascript", "node", "browser", "transformers_js")
OLDEST_NODE = 20


def workshop(config: pytest.Config, folder: Path) -> Path:
    """Fill an empty folder; skips where Node isn't there or npm can't install."""
    return furnish(folder, Path(config.cache.mkdir("npm")))


def furnish(folder: Path, cache: Path) -> Path:
    """The same where pytest doesn't run; ``cache`` keeps what npm installs."""
    (folder / "node_modules").symlink_to(_packages(cache), target_is_directory=True)
    for name in CONSUMERS:
        shutil.copytree(RUNTIMES / name, folder / name, ignore=shutil.ignore_patterns("node_modules"))
    for program in (*HERE.glob("*.js"), *HERE.glob("*.html")):
        shutil.copy(program, folder / program.name)
    (folder / "package.json").write_text('{"type": "module"}\n', encoding="utf-8")
    return folder


def drive(folder: Path, program: str, job: dict[str, Any], timeout: float = 900) -> Any:
    """Run one of the programs beside this file: a job as JSON in, what it found as JSON out."""
    done = subprocess.run(
        ["node", program], cwd=folder, input=json.dumps(job), capture_output=True, text=True, encoding="utf-8", timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def _packages(cache: Path) -> Path:
    """``node_modules`` with every consumer's packages."""
    wanted: dict[str, str] = {}
    for name in CONSUMERS:
        package = json.loads((RUNTIMES / name / "package.json").read_text(encoding="utf-8"))
        for listed in (package.get("dependencies", {}), package.get("devDependencies", {})):
            for dependency, number in listed.items():
                assert wanted.setdefault(dependency, number) == number, f"the consumers disagree about {dependency}"
    return node_modules(cache, wanted)


def node_modules(cache: Path, wanted: dict[str, str]) -> Path:
    """``node_modules`` with packages in these versions; skips where Node isn't there or npm can't install."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("needs node and npm (Debian: apt-get install nodejs npm)")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"needs node {OLDEST_NODE} or later; this is {version}")
    contents = json.dumps({"private": True, "dependencies": wanted}, indent=2, sort_keys=True)
    folder = cache / hashlib.sha256(contents.encode()).hexdigest()[:16]
    finished = folder / "finished"
    with FileLock(f"{folder}.lock"):
        if not finished.is_file():
            folder.mkdir(exist_ok=True)
            (folder / "package.json").write_text(contents, encoding="utf-8")
            command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"npm can't install {', '.join(sorted(wanted))}: {done.stderr.strip()[-500:]}")
            finished.touch()
    return folder / "node_modules"
