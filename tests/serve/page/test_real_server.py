"""The server's page in headless Chromium, served by the real program over youtu-nano."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.browser import browser
from tests.consumers.javascript.pages import chromium
from tests.consumers.javascript.workshop import workshop
from tests.serve.http.test_command import running
from tests.serve.page.driving import ALLOWED_FAULTS, ask, done, ready


def test_a_conversation_a_stop_and_a_killed_server(
    nano_bundle: Callable[..., Path], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    chromium()
    with browser(workshop(request.config, tmp_path)) as page:
        with running(nano_bundle()) as (process, url, _):
            page.open(url)
            ready(page)
            ask(page, "What is 12 + 30?")
            assert page.texts(".answer") == ["42"] and page.at(".thoughts", "textContent")  # folded away
            ask(page, "Write 7 in Roman numerals.")
            first, second = page.texts(".answer")
            assert first == "42" and second
            page.fill("#text", "What is 471 + 382?")
            page.press("Enter")
            page.wait("document.querySelectorAll('.thoughts').length === 3")
            page.click("#stop")
            done(page)
            assert page.js("document.querySelector('.assistant:last-child').innerText.includes('Stopped')")
            end = time.monotonic() + 20  # the place is free at once
            while (health := httpx.get(f"{url}/health").json())["running"] and time.monotonic() < end:
                time.sleep(0.05)
            assert health["running"] == health["queued"] == 0
            page.page("reload")
            ready(page)
            assert page.texts(".answer")[:2] == [first, second]
            process.send_signal(signal.SIGKILL)
            process.wait()
            page.fill("#text", "Are you there?")
            page.press("Enter")
            page.wait("document.querySelector('#banner:not([hidden])')")
        port = url.rpartition(":")[2]
        with running(nano_bundle(), "--port", port):
            page.wait_gone("#banner")
            page.page("reload")
            ready(page)
            assert page.texts(".answer")[:2] == [first, second]
            page.click("#new")  # what was stopped stands in this conversation, and how much of it is the clock's choice
            ask(page, "What is 12 + 30?")
            assert page.texts(".answer") == ["42"]
        assert [fault for fault in page.seen()["faults"] if not fault.startswith(ALLOWED_FAULTS)] == []
