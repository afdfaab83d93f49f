"""What the tests in a browser share: Chromium, how it is started, and an ordinary file server."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

QUIET = ("--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
NO_GPU = (*QUIET, "--disable-gpu")
SOFTWARE_GPU = (
    *QUIET,
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
    "--ignore-gpu-blocklist",
)
CHROMIUMS = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same browser without a window's parts: a page is there in half of the time."""


def chromium() -> str:
    """The program's path; skips where there is none."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip(f"needs Chromium (Debian: apt-get install {CHROMIUMS[0]})")
    return found


@contextmanager
def served(folder: Path, asked: set[str] | None = None) -> Iterator[str]:
    """The address of a folder, served without any headers of its own. ``asked`` gets the paths that were asked for."""
    handler = functools.partial(_Handler, directory=folder, asked=set() if asked is None else asked)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, asked: set[str], **options: Any) -> None:
        self.asked = asked  # a request is handled where the class begins
        super().__init__(*args, **options)

    def send_head(self) -> Any:
        self.asked.add(self.path.partition("?")[0].lstrip("/") or "index.html")
        return super().send_head()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
