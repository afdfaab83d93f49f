"""Chromium in the hands of a test: :class:`Browser` drives it through Playwright, in a Node process."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.consumers.javascript.pages import NO_GPU, chromium

PATIENCE = 60.0  # seconds to wait for what a page should show


class Browser:
    """One browser, and one of its pages at a time. Methods of Playwright's page, locators and keyboard by their own names."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def open(self, address: str, **options: Any) -> None:
        """A fresh context (no storage, no service worker), and an address in it. Options are those of Playwright's newContext."""
        usual = {"viewport": {"width": 1200, "height": 800}, "locale": "en-US", "serviceWorkers": "block"}
        self._ask(do="open", options=usual | options)
        self.page("goto", address)

    def another(self, address: str) -> None:
        """One more page in the same context, and an address in it; all else is about this page from now on."""
        self._ask(do="another")
        self.page("goto", address)

    def turn(self, index: int) -> None:
        """To one of the context's pages, in the order in which they were opened."""
        self._ask(do="turn", index=index)

    def page(self, method: str, *args: Any) -> Any:
        return self._ask(do="page", method=method, args=args)

    def at(self, selector: str, method: str, *args: Any) -> Any:
        return self._ask(do="locator", selector=selector, method=method, args=args)

    def click(self, selector: str) -> None:
        self.at(selector, "click")

    def fill(self, selector: str, text: str) -> None:
        self.at(selector, "fill", text)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.at(selector, "allInnerTexts")
        return found

    def press(self, key: str) -> None:
        self._ask(do="keyboard", method="press", args=[key])

    def type(self, text: str) -> None:
        self._ask(do="keyboard", method="type", args=[text])

    def js(self, expression: str) -> Any:
        """The value of an expression; promises are awaited."""
        return self.page("evaluate", expression)

    def wait(self, expression: str) -> Any:
        """Until the expression is true; its value then."""
        end = time.monotonic() + PATIENCE
        while not (value := self.js(expression)):
            assert time.monotonic() < end, f"never true: {expression}\n{self.js('document.body.innerText')}"
            time.sleep(0.03)
        return value

    def wait_gone(self, selector: str) -> None:
        self.at(selector, "waitFor", {"state": "hidden"})

    def wait_shown(self, selector: str) -> None:
        self.at(selector, "waitFor", {"state": "visible"})

    def mouse(self, method: str, *args: Any) -> None:
        self._ask(do="mouse", method=method, args=args)

    def cdp(self, method: str, **parameters: Any) -> Any:
        return self._ask(do="cdp", method=method, args=[parameters])

    def context(self, method: str, *args: Any) -> Any:
        return self._ask(do="context", method=method, args=args)

    def downloads(self) -> dict[str, str]:
        """Names and contents."""
        return {one["name"]: Path(one["path"]).read_text(encoding="utf-8") for one in self._ask(do="downloads")}

    def seen(self) -> dict[str, list[str]]:
        """``hosts`` that were asked, and ``faults``: exceptions and errors on the console."""
        found: dict[str, list[str]] = self._ask(do="seen")
        return found

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline() or '{"error": "the browser is gone"}')
        assert "error" not in reply, f"{reply['error']}\n{request}"
        return reply["value"]


@contextmanager
def browser(shop: Path, flags: tuple[str, ...] = NO_GPU) -> Iterator[Browser]:
    """``shop``: a folder filled by :func:`tests.consumers.javascript.workshop.workshop`."""
    with subprocess.Popen(
        ["node", "remote.js"], cwd=shop, text=True, encoding="utf-8", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps({"chromium": chromium(), "flags": flags}) + "\n")
        yield Browser(process)
        process.stdin.close()
