"""axe-core finds nothing against accessibility on the page, whatever is open on it. npm brings it; without npm this skips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.consumers.javascript.workshop import node_modules
from tests.serve.page.driving import CODE, ask, ready
from tests.serve.page.page_server import MODEL, PageServer, Refusal, Reply

AXE = {"axe-core": "4.10.3"}
PHONE = {"viewport": {"width": 360, "height": 640}, "isMobile": True, "hasTouch": True}
SCAN = """axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations.flatMap((one) =>
    one.nodes.map((node) => `${one.id}: ${node.target} ${node.failureSummary}`)))"""
NOTES = "\n\n- [x] done\n\nSaid[^1].\n\n[^1]: A note."


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> Path:
    return node_modules(Path(request.config.cache.mkdir("npm")), AXE) / "axe-core" / "axe.min.js"


def scan(page: Browser) -> list[str]:
    page.page("waitForTimeout", 500)  # animations change colours
    found: list[str] = page.js(SCAN)
    return found


def visit_with_axe(tab: Browser, server: PageServer, axe: Path, **options: Any) -> None:
    server.state.models = [MODEL, MODEL | {"id": "other"}]
    tab.open(server.address, **options)
    tab.context("addInitScript", {"path": str(axe)})
    tab.page("reload")
    ready(tab)


def say_much(page: Browser, server: PageServer) -> None:
    """A conversation that has one of everything."""
    page.js("""void (async () => { const { prefer } = await import('./static/preferences.js');
        prefer('fresh', { system: 'Be brief.', sampling: {}, stop: [], raw: {}, probabilities: true }); })()""")
    server.state.script.append(Reply(CODE + NOTES, "Hm."))
    ask(page, "Code")
    page.wait_shown(".code")
    server.state.script.append(Reply("one two three", finish="length", logprobs=[-0.1, -1.0, -3.0]))
    ask(page, "line\n" * 100)
    page.click(".probabilities summary")
    page.click(".thinking summary >> nth=0")
    server.state.script.append(Refusal(400, "no", code="context_length_exceeded"))
    page.fill("#text", "Too long")
    page.press("Enter")
    page.wait_shown(".fault")
    page.fill("#text", "A draft")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("form", ["window", "phone"])
def test_nothing_is_found(tab: Browser, server: PageServer, axe: Path, theme: str, form: str):
    visit_with_axe(tab, server, axe, colorScheme=theme, **(PHONE if form == "phone" else {}))
    assert scan(tab) == []
    say_much(tab, server)
    assert scan(tab) == []
    tab.click("#actions")
    assert scan(tab) == []
    tab.press("Escape")
    tab.click("#model-about")
    assert scan(tab) == []
    tab.press("Escape")
    if form == "phone":
        tab.click("#show-list")
    tab.fill("#search", "two")
    tab.wait_shown(".excerpt")
    assert scan(tab) == []
    tab.click("#settings-from-list")
    tab.js("void (document.querySelector('#set-others').open = true)")
    tab.fill("#set-raw", "wrong")
    tab.click("#settings .plain-button.danger")
    assert scan(tab) == []
    tab.press("Escape")
