"""Which address a browser on this machine is sent to, and when none is."""

from __future__ import annotations

import sys

import pytest

from youtu_onnx.serve.http import browsing


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("localhost", "http://localhost:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("[::]", "http://[::1]:80/"),
        ("[::1]", "http://[::1]:80/"),
        ("10.0.0.5", "http://10.0.0.5:80/"),
    ],
)
def test_the_address_of_the_page(host: str, address: str) -> None:
    assert browsing.page_address(host, 80) == address


def test_a_terminals_browser_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not browsing.has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    assert browsing.has_browser()
