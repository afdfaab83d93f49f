"""Opening the server's page in the user's browser."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser

ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Addresses to listen at, and where a browser on this machine finds the server then."""


def page_address(host: str, port: int) -> str:
    """Of a server that listens at ``host``, for a browser on the same machine; an IPv6 address is in brackets."""
    return f"http://{ANYWHERE.get(host, host)}:{port}/"


def has_browser() -> bool:
    """Whether there is one with a window: of a terminal's, ``webbrowser`` would give it the terminal that the server is in."""
    windows = sys.platform in ("win32", "darwin", "cygwin")
    return windows or any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))


def open_page(address: str) -> None:
    """In a thread: some systems take seconds for it."""
    threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()
