"""A compiler that keeps what it made, for several builds of the same sources::

    python kept_objects.py FOLDER cc -O3 -c source.c -o object.o

An object is kept by the preprocessed source, the compiler and its flags, unless there were warnings: whoever compiles it again is
told them again. Flags that change warnings or linking alone make no difference to it. All else is passed on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

KEPT_FOR = 7 * 24 * 60 * 60
"""Seconds since an object was wanted last."""
WITHOUT_EFFECT = {"-Werror", "-static"}


def main(folder: Path, command: Sequence[str]) -> int:
    if "-c" not in command or command[-2] != "-o":
        return subprocess.run(command, check=False).returncode
    *rest, _, made = command
    source = [*rest]
    source[source.index("-c")] = "-E"
    read = subprocess.run([*source, "-P"], capture_output=True, check=False)
    if read.returncode:
        return subprocess.run(command, check=False).returncode
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{_key(rest, read.stdout)}.o"
    with FileLock(kept.with_suffix(".lock")):
        if kept.is_file():
            os.utime(kept)
            shutil.copy(kept, made)
            return 0
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        sys.stderr.buffer.write(done.stdout)
        if not done.returncode and not done.stdout:
            keep(Path(made), kept)
    return done.returncode


def keep(made: Path, kept: Path) -> None:
    """It is there whole or not at all, and what nobody wanted for long is not."""
    partial = kept.with_suffix(".partial")
    shutil.copy(made, partial)
    os.replace(partial, kept)
    for other in kept.parent.iterdir():
        if time.time() - other.stat().st_mtime > KEPT_FOR:
            other.unlink(missing_ok=True)


def _key(command: Sequence[str], source: bytes) -> str:
    says = subprocess.run([command[0], "--version"], capture_output=True, check=False).stdout
    words = [word for word in command if word not in WITHOUT_EFFECT and not word.endswith(".c")]
    return hashlib.sha256(repr((words, says)).encode() + source).hexdigest()[:32]


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2:]))
