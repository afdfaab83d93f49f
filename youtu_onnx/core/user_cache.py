"""Where this user's system keeps what can be made again, and what is remembered."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from youtu_onnx.core.errors import ResourceError


def user_cache() -> Path:
    """Our folder below XDG_CACHE_HOME where that is set, else below what the system calls its cache; links are resolved.

    Three rules instead of a dependency on platformdirs, which nothing else here needs.

    Raises:
        ResourceError: this user has no home folder.
    """
    home: str | Path = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # which the specification says to ignore
        try:
            if sys.platform == "win32":
                home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
            else:
                home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        except RuntimeError as error:
            raise ResourceError(
                "this user has no home folder to keep files in", hint="name a folder in XDG_CACHE_HOME"
            ) from error
    return Path(os.path.realpath(Path(home) / "youtu-onnx"))


def user_state() -> Path:
    """Our folder for what is kept from one session to the next: below XDG_STATE_HOME where that is set.

    Raises:
        ResourceError: this user has no home folder.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "youtu-onnx"
    if sys.platform == "linux":
        try:
            return Path.home() / ".local" / "state" / "youtu-onnx"
        except RuntimeError as error:
            raise ResourceError("this user has no home folder", hint="name a folder in XDG_STATE_HOME") from error
    return user_cache()
