"""Steps of an answer on the page: with their marks and the map of gates, on demand, and only where the server explains them."""

from __future__ import annotations

import re
from typing import Any

from tests.browser import Browser
from tests.consumers.javascript.pages import chromium
from tests.explain.conftest import Bundles, bundles, checkpoint  # noqa: F401 (fixtures)
from tests.serve.http.test_command import running
from tests.serve.page.driving import ask, ready, visit
from tests.serve.page.page_server import MODEL, PageServer, Refusal, Reply

MICRO = MODEL | {"id": "micro", "steps": True}
THOUGHT = "17*9:7*9=63,1*9+6=15;153\n153-3=151"
EXPLAINED: dict[str, Any] = {
    "steps": {
        "family": "arithmetic",
        "lines": [
            {"text": "17*9:7*9=63,1*9+6=15;153", "valid": True},
            {"text": "153-3=151", "valid": False},
            {"text": "<b>so</b>", "valid": None},
        ],
        "answer": {"text": "153", "valid": True},
        "sound": 0.5,
    },
    "tokens": [{"id": n, "text": f" t{n}" if n else "\n", "reply": n > 20} for n in range(80)],
    "kept": {
        "form": "routed",
        "window": 8,
        "open": ["1" * 80, "10" * 40],
        "share_by_layer": [1.0, 0.56],
        "rows_by_layer": [80, 44],
        "rows": 124,
        "dense_rows": 160,
        "pairs_by_layer": [3240, 1944],
        "pairs": 5184,
        "dense_pairs": 6480,
    },
}


def micro(tab: Browser, server: PageServer, **options: Any) -> None:
    """The page of a server whose model's steps are explained, with one answer on it."""
    server.state.models = [MICRO]
    server.state.script.append(Reply("153", thinking=THOUGHT))
    visit(tab, server, **options)
    ask(tab, "What is 17 * 9?")


def test_steps_unfold_with_marks_and_a_map(tab: Browser, server: PageServer) -> None:
    asked: list[dict[str, Any]] = []
    server.state.explain = lambda body: (asked.append(body), EXPLAINED)[1]
    micro(tab, server)
    assert tab.texts(".steps summary") == ["Steps"] and not asked, "nothing is asked before it is wanted"
    tab.click(".steps summary")
    tab.wait_shown(".step-list")
    [body] = asked
    assert body == {
        "model": "micro",
        "messages": [{"role": "user", "content": "What is 17 * 9?"}],
        "thinking": THOUGHT,
        "answer": "153",
    }
    assert tab.texts(".step-list .line") == ["17*9:7*9=63,1*9+6=15;153", "153-3=151", "<b>so</b>", "153"]
    assert tab.texts(".step-list .mark") == ["✓", "✗", "—", "✓"]
    marks = tab.js("[...document.querySelectorAll('.step-list .mark')].map((one) => one.ariaLabel)")
    assert marks == ["Valid", "Not valid", "Not known", "Valid"]
    assert tab.texts(".steps-sound") == ["2 of 4 steps are valid, the answer included."]
    said = tab.texts(".gates-said")[0]
    assert re.fullmatch(r"80 % of the pairs of tokens attended · 78 % of the rows cached", said)
    assert tab.at(".gates", "getAttribute", "aria-label") == said and tab.at(".gates svg", "count") == 2  # 70 tokens a line
    assert tab.js("document.querySelectorAll('.gates .token').length") == 80
    assert tab.js("document.querySelectorAll('.gates .token.reply').length") == 59
    assert tab.js("document.querySelector('.gates .token').textContent") == "⏎"
    widths = tab.js("[...document.querySelectorAll('.gates path.kept')].map((one) => one.getAttribute('d').split('h').length)")
    assert all(width > 1 for width in widths)
    colour = "getComputedStyle(document.querySelector('.gates path.{}')).fill"
    assert len({tab.js(colour.format(name)) for name in ("kept", "within", "left")}) == 3
    tab.click(".steps summary")
    tab.click(".steps summary")
    assert len(asked) == 1, "it is asked once"
    assert tab.seen()["faults"] == []


def test_lines_of_a_thought_are_shown_as_they_are(tab: Browser, server: PageServer) -> None:
    micro(tab, server)
    tab.click(".thinking summary")
    assert tab.texts(".thoughts") == [THOUGHT]
    assert tab.js("document.querySelector('.thoughts').childElementCount") == 0
    tab.page("reload")
    ready(tab)
    tab.wait("document.querySelector('.thoughts').textContent")
    tab.page("waitForTimeout", 400)
    assert tab.js("document.querySelector('.thoughts').textContent") == THOUGHT


def test_what_goes_wrong_is_said_and_can_be_tried_again(tab: Browser, server: PageServer) -> None:
    answers: list[dict[str, Any] | Refusal] = [Refusal(400, "too long"), {"steps": None}, EXPLAINED]
    server.state.explain = lambda body: answers.pop(0)
    micro(tab, server)
    tab.click(".steps summary")
    tab.wait("document.querySelector('.steps .note')?.textContent.includes('too long')")
    tab.click(".steps .link")
    tab.wait("document.querySelector('.steps .note')?.textContent.includes('no steps')")
    tab.click(".steps .link")
    tab.wait_shown(".step-list")


def test_there_are_none_without_a_thought_or_a_server_that_explains(page: Browser, server: PageServer) -> None:
    server.state.script.append(Reply("153", thinking=THOUGHT))
    ask(page, "What is 17 * 9?")
    assert page.at(".steps", "count") == 0 and page.at(".thoughts", "count") == 1
    server.state.models = [MICRO]
    page.page("reload")
    ready(page)
    assert page.at(".steps", "count") == 0, "the answer is another model's"
    ask(page, "Hello")
    assert page.at(".steps", "count") == 0, "it had no thought"


def test_in_chinese_in_the_dark_on_a_phone(tab: Browser, server: PageServer) -> None:
    server.state.explain = lambda body: EXPLAINED
    micro(tab, server, locale="zh-CN", colorScheme="dark", viewport={"width": 390, "height": 800})
    tab.click(".steps summary")
    tab.wait_shown(".gates")
    assert tab.texts(".steps summary") == ["步骤"] and "共 4 个" in tab.texts(".steps-sound")[0]
    assert tab.js("document.documentElement.scrollWidth <= innerWidth"), "a wide map scrolls in itself"
    assert tab.js("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.gates'))")


def test_a_real_server_explains_what_its_model_wrote(tab: Browser, bundles: Bundles) -> None:  # noqa: F811
    chromium()
    with running(bundles("routed")) as (_, url, _):
        tab.open(url)
        ready(tab)
        tab.js("import('./static/preferences.js').then((module) => module.preferNumber('max_tokens', 24))")
        ask(tab, "What is 12 + 30?")  # to which these random weights think something
        tab.click(".steps summary")
        tab.wait_shown(".gates")
        assert "of the rows cached" in tab.texts(".gates-said")[0] and tab.texts(".step-list .mark")[-1] == "—"
        assert tab.seen()["faults"] == []
