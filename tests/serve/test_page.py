"""The server's page in headless Chromium, against a real HTTP server whose answers and faults the tests script."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, browser
from tests.consumers.javascript.pages import chromium
from tests.consumers.javascript.workshop import workshop
from tests.page_server import MODEL, PAGE, PageServer, Refusal, Reply, Scripted, pieces, serving

CODE = """Look:

```python
def f(x):  # twice
    return 2.5 * x if x else 'none'
```

and $x^2$ and

| a | b |
|--|--:|
| 1 | [2](https://example.org/) |
"""
HOSTILE = """<p onclick="boom()" style="color:red">text<script>boom()</script><img src=x onerror="boom()" alt="a picture">
<a href="javascript:boom()">one</a> <a href=" java\nscript:boom()">two</a>
<a href="data:text/html,<script>boom()</script>">three</a>
<a href="https://example.org/" onclick="boom()" target="_self">four</a> <a href="/v1/models">five</a>
<iframe srcdoc="<script>parent.boom()</script>"></iframe>
<svg><script>boom()</script><a href="javascript:boom()"><text>x</text></a></svg>
<math><mtext><style>*{}</style></mtext>
<annotation-xml encoding="text/html"><img src=x onerror=boom()></annotation-xml>
<mi href="javascript:boom()" onclick="boom()">m</mi></math>
<form action="/x"><input name=q><button formaction="javascript:boom()">go</button></form>
<details open ontoggle="boom()">d</details><span class="danger-button" id="text">s</span><base href="https://example.org/">
<meta http-equiv="refresh" content="0;url=https://example.org/"><link rel="stylesheet" href="https://example.org/x.css"></p>"""
ALLOWED_FAULTS = ("Failed to load resource",)  # Chromium's own words about a status of 4xx and 5xx, or no connection
PARSED_FAULTS = ("Executing inline event handler", "Applying inline style", "Setting the document's base URI")
"""The policy speaks up while hostile HTML is parsed, in a document that is never shown."""
CONTRAST = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const under = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest(":disabled")) continue;
    if (!element.checkVisibility({ opacityProperty: true })) continue;
    const style = getComputedStyle(element);
    if (style.color.startsWith("rgba") && numbers(style.color)[3] === 0) continue;
    const [a, b] = [luminance(numbers(style.color)), luminance(under(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def tab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium()
    with browser(workshop(request.config, tmp_path_factory.mktemp("page"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def running() -> Iterator[PageServer]:
    with serving() as server:
        yield server


@pytest.fixture()
def server(running: PageServer) -> PageServer:
    running.state = Scripted()
    return running


@pytest.fixture()
def page(request: pytest.FixtureRequest, server: PageServer, tab: Browser) -> Iterator[Browser]:
    """The page as a new visitor gets it. Whatever a test does, no other host is asked and no script fails."""
    visit(tab, server)
    yield tab
    seen = tab.seen()
    assert seen["hosts"] == [server.address.split("/")[2]]
    allowed = ALLOWED_FAULTS + (PARSED_FAULTS if request.node.name.endswith("[from render]") else ())
    assert [fault for fault in seen["faults"] if not fault.startswith(allowed)] == []


def visit(tab: Browser, server: PageServer, **options: Any) -> None:
    tab.open(server.address, **options)
    ready(tab)


def ready(page: Browser) -> None:
    page.wait("document.documentElement.dataset.ready && document.querySelector('.model-name, #model, #banner:not([hidden])')")


def ask(page: Browser, text: str) -> None:
    """Send, and wait for the end of the answer."""
    answers = page.at(".assistant", "count")
    page.fill("#text", text)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('.assistant').length === {answers + 1}")
    done(page)


def done(page: Browser) -> None:
    page.wait("document.querySelector('#stop').hidden && document.querySelector('.assistant:last-child[aria-busy=false]')")


def contents(server: PageServer, index: int = -1) -> list[str]:
    return [message["content"] for message in server.state.requests[index]["messages"]]


def test_an_answer_streams_and_its_thinking_folds_away(page: Browser, server: PageServer):
    thought, halfway = threading.Event(), threading.Event()
    reply = Reply("# Title\n\none **two** three four", "Hm, let me see.", thought=thought, halfway=halfway)
    tokens = len(pieces(reply.text)) + len(pieces(reply.thinking))
    server.state.script.append(reply)
    page.fill("#text", "Hello")
    page.press("Enter")
    page.wait("document.querySelector('.thoughts')?.innerText === 'Hm, let me see.'")
    assert page.js("document.querySelector('.thinking').open") and page.texts(".thinking summary") == ["Thinking…"]
    thought.set()
    page.wait("document.querySelector('.answer h1')?.textContent === 'Title'")
    assert page.js("!document.querySelector('.thinking').open") and "three" not in page.texts(".answer")[0]
    page.click(".thinking summary")
    halfway.set()
    done(page)
    page.wait("document.querySelector('.answer strong')?.textContent === 'two'")
    assert page.js("document.querySelector('.thinking').open"), "the reader had opened it"
    assert re.fullmatch(r"Thought for [\d.]+ s", page.texts(".thinking summary")[0])
    assert re.fullmatch(rf"{tokens} tokens · [\d,.]+ tokens/s · first after [\d.]+ s", page.texts(".facts")[0])
    assert page.texts("#context-words") == [f"{tokens + 20} / 4.1K"]
    assert server.state.requests == [
        {
            "model": "youtu-nano",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert set(server.state.authorizations) == {None}


def test_settings_are_sent_and_kept(page: Browser, server: PageServer):
    page.click("#settings-open")
    for name, value in (("temperature", "0.5"), ("top_p", "0.9"), ("top_k", "7"), ("max_tokens", "9"), ("seed", "3")):
        page.fill(f"#set-{name}", value)
    page.fill("#set-system", "Be brief.")
    page.fill("#set-top_k", "-1")
    assert page.texts("#set-top_k-wrong") == ["0 or more"]
    page.at("#set-thinking", "selectOption", "off")
    page.press("Escape")
    page.page("reload")
    ready(page)
    ask(page, "Hello")
    sent = server.state.requests[0]
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert {name: sent[name] for name in ("temperature", "top_p", "top_k", "max_tokens", "seed", "chat_template_kwargs")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "max_tokens": 9,
        "seed": 3,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    page.at("#thinking", "selectOption", "on")
    page.click("#settings-open")
    page.click("#set-defaults")
    page.press("Escape")
    ask(page, "Again")
    assert server.state.requests[1]["chat_template_kwargs"] == {"enable_thinking": True}
    assert "temperature" not in server.state.requests[1]


def test_models_with_little_about_them(page: Browser, server: PageServer):
    server.state.models = [{"id": "a"}, {"id": "b", "thinking_switch": False, "context_length": 100}]
    page.page("reload")
    ready(page)
    ask(page, "Hello")
    assert server.state.requests[-1]["model"] == "a" and page.texts("#context-words") == ["21 tokens"]
    page.at("#model", "selectOption", "b")
    ask(page, "Hello")
    assert server.state.requests[-1]["model"] == "b" and not page.at("#thinking", "isVisible")


def test_stop(page: Browser, server: PageServer):
    server.state.script.append(Reply("one two three four", halfway=threading.Event()))
    page.fill("#text", "Count")
    page.click("#send")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.click("#stop")
    done(page)
    assert page.texts(".note") == ["Stopped."] and page.texts(".answer") == ["one two"]
    ask(page, "Go on")
    assert contents(server) == ["Count", "one two", "Go on"]
    assert server.state.cancelled == 1


def test_answer_again_keeps_the_first_answer(page: Browser, server: PageServer):
    server.state.script.extend([Reply("first"), Reply("second")])
    ask(page, "Hello")
    page.click(".again")
    page.wait("document.querySelector('.answer')?.innerText === 'second'")
    done(page)
    assert contents(server) == ["Hello"] and page.texts(".assistant .versions") == ["2/2"]
    page.click("[aria-label='Earlier version']")
    page.wait("document.querySelector('.answer')?.innerText === 'first'")
    ask(page, "And?")
    assert contents(server) == ["Hello", "first", "And?"]


def test_edit_and_resend(page: Browser, server: PageServer):
    server.state.script.extend([Reply("A"), Reply("B"), Reply("C")])
    ask(page, "One")
    ask(page, "Two")
    page.at(".user", "first")
    page.click(".user:first-child .edit")
    page.press("Escape")
    assert page.texts(".bubble") == ["One", "Two"]
    page.click(".user:first-child .edit")
    page.type(" and a half")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'C'")
    done(page)
    assert contents(server) == ["One and a half"] and page.texts(".bubble") == ["One and a half"]
    page.click(".user [aria-label='Earlier version']")
    page.wait("document.querySelectorAll('.bubble').length === 2")
    assert page.texts(".answer") == ["A", "B"]


def test_a_reload_keeps_everything_even_half_an_answer(page: Browser, server: PageServer):
    ask(page, "First question")
    never = threading.Event()
    server.state.script.append(Reply("one two three four", "Hm.", halfway=never))
    page.fill("#text", "Second question")
    page.press("Enter")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'one two'")
    page.page("waitForTimeout", 600)  # it is saved several times a second
    page.fill("#text", "a draft")
    page.page("reload")
    ready(page)
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'one two'")
    assert page.texts(".bubble") == ["First question", "Second question"]
    assert page.texts(".note") == ["The page was closed before the answer was complete."]
    assert page.at("#text", "inputValue") == "a draft"
    page.fill("#text", "")
    page.click(".assistant:last-child .again")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'Well.'")
    assert contents(server) == ["First question", "Well.", "Second question"]


def test_rename_search_export_delete(page: Browser, server: PageServer):
    server.state.script.append(Reply("Yes, *it* is.", "Sure?"))
    ask(page, "Is this 一个 title: / good?")
    page.click("#new")
    ask(page, "Something else")
    assert page.texts("#conversations .open") == ["Something else", "Is this 一个 title: / good?"]
    page.fill("#search", "*it*")
    assert page.texts("#conversations .open") == ["Is this 一个 title: / good?"]
    page.click("#conversations .open")
    page.fill("#search", "")
    page.click("#conversations .current .more")
    page.click("#menu button:has-text('Rename')")
    page.type("Better name")
    page.press("Enter")
    page.wait("document.querySelector('#title').textContent === 'Better name'")
    for kind in ("Markdown", "JSON"):
        page.click("#actions")
        page.click(f"#menu button:has-text('{kind}')")
    page.wait("document.querySelector('#menu:popover-open') === null")
    page.page("waitForTimeout", 100)
    files = page.downloads()
    assert files.keys() == {"Better-name.md", "Better-name.json"}
    assert files["Better-name.md"].startswith("# Better name\n") and "> Sure?\n\nYes, *it* is." in files["Better-name.md"]
    exported = json.loads(files["Better-name.json"])
    assert exported["messages"] == [
        {"role": "user", "content": "Is this 一个 title: / good?"},
        {"role": "assistant", "content": "Yes, *it* is.", "reasoning_content": "Sure?"},
    ]
    page.click("#actions")
    page.click("#menu button:has-text('Delete')")
    page.wait("document.querySelectorAll('#conversations .open').length === 1")
    assert page.texts(".bubble") == [] and page.at("#empty", "isVisible")
    page.click("#toast button")
    page.wait("document.querySelectorAll('#conversations .open').length === 2")
    page.wait("document.querySelector('.bubble')")
    page.click("#settings-open")
    page.click("#settings .plain-button.danger")
    page.click("#settings .danger-button")
    page.wait("document.querySelectorAll('#conversations .open').length === 0")
    page.page("reload")
    ready(page)
    assert page.texts("#conversations .open") == []


def test_clear_context(page: Browser, server: PageServer):
    ask(page, "One")
    page.click("#clear")
    page.wait_shown(".break")
    assert page.texts("#context-words") == ["0 / 4.1K"]
    page.click(".break button")
    ask(page, "Two")
    assert contents(server) == ["One", "Well.", "Two"]
    page.click("#clear")
    ask(page, "Three")
    assert contents(server) == ["Three"] and page.texts(".bubble") == ["One", "Two", "Three"]


def test_an_answer_goes_on_while_another_conversation_is_read(page: Browser, server: PageServer):
    halfway = threading.Event()
    server.state.script.append(Reply("one two three four", halfway=halfway))
    page.fill("#text", "Slow")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.click("#new")
    ask(page, "Fast")
    assert page.texts(".answer") == ["Well."] and page.at("#conversations .dot", "count") == 1
    halfway.set()
    page.wait("!document.querySelector('#conversations .dot')")
    page.page("goBack")
    page.page("goBack")
    page.wait("document.querySelector('.answer')?.innerText === 'one two three four'")


def test_the_server_goes_and_comes_back(page: Browser, server: PageServer):
    ask(page, "One")
    server.stop()
    try:
        page.fill("#text", "Two")
        page.press("Enter")
        page.wait_shown(".fault")
        assert page.texts(".fault p") == ["The server can't be reached."]
        assert page.texts("#banner") == ["The server can't be reached. Trying again…"]
    finally:
        server.start()
    page.wait("document.querySelector('#banner').textContent === 'Connected again.'")
    page.click(".fault .retry")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'Well.'")
    assert contents(server) == ["One", "Well.", "Two"] and page.at(".fault", "count") == 0
    page.wait_gone("#banner")


def test_the_page_is_opened_before_the_server_is_ready(page: Browser, server: PageServer):
    server.state.healthy = False
    page.page("reload")
    page.wait("document.querySelector('#banner').textContent === \"The server isn't ready. Trying again…\"")
    assert page.texts(".model-name") == []
    server.state.healthy = True
    page.wait("document.querySelector('.model-name')?.textContent === 'youtu-nano'")
    page.wait_gone("#banner")


def test_a_busy_server_is_asked_again(page: Browser, server: PageServer):
    server.state.script.extend([Refusal(429, "full", retry_after=1), Refusal(503, "draining", retry_after=30), Reply("At last.")])
    page.fill("#text", "Hello")
    page.press("Enter")
    page.wait("document.querySelector('.fault')?.innerText.includes('Trying again in 1 s')")
    page.wait("document.querySelector('.fault')?.innerText.includes('Trying again in 30 s')")
    page.click(".fault button:has-text('Cancel')")
    assert page.texts(".fault p") == ["The server is busy."] and page.at("#send", "isVisible")
    page.click(".fault .retry")
    page.wait("document.querySelector('.answer')?.innerText === 'At last.'")
    assert [contents(server, index) for index in range(3)] == [["Hello"]] * 3 and page.at(".assistant", "count") == 1


@pytest.mark.parametrize(
    ("reply", "words", "answer"),
    [
        (Refusal(400, "top_k is too large"), "The server refused: top_k is too large", ""),
        (Refusal(413, "too long"), "The server refused: too long", ""),
        (Refusal(500, "<b>oh</b>"), "The server failed: <b>oh</b>", ""),
        (Reply("one two three four", error="it broke"), "The server failed: it broke", "one two"),
        (Reply("one two three four", cut=True), "The connection broke before the answer was complete.", "one two"),
    ],
    ids=["400", "413", "500", "mid-stream", "cut"],
)
def test_faults_are_shown_in_place(page: Browser, server: PageServer, reply: Reply | Refusal, words: str, answer: str):
    server.state.script.append(reply)
    page.fill("#text", "Hello")
    page.press("Enter")
    page.wait_shown(".fault")
    assert page.texts(".fault p") == [words]
    assert page.js("document.querySelector('.answer').innerText") == answer
    page.page("reload")
    ready(page)
    assert page.texts(".fault p") == [words]
    page.click(".fault .retry")
    page.wait("document.querySelector('.answer')?.innerText === 'Well.'")
    assert contents(server) == ["Hello"]
    assert page.texts(".assistant .versions") == (["2/2"] if answer else [])


def test_cut_at_the_limit_and_empty_answers_say_so(page: Browser, server: PageServer):
    server.state.script.extend([Reply("one two", finish="length"), Reply("")])
    ask(page, "Hello")
    ask(page, "Hello")
    assert page.texts(".note") == ["Cut off: the limit of tokens is reached.", "The model ended its answer without a word."]


def test_a_key_is_asked_for_and_kept_for_the_session_only(page: Browser, server: PageServer):
    server.state.key = "s3cret"
    page.fill("#text", "Hello")
    page.press("Enter")
    page.fill(".fault input", "wrong")
    page.press("Enter")
    page.wait("document.querySelector('.fault')?.innerText.includes(\"doesn't accept this API key\")")
    page.fill(".fault input", "s3cret")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'Well.'")
    assert {None, "Bearer wrong", "Bearer s3cret"} == set(server.state.authorizations)
    assert "s3cret" not in page.js("JSON.stringify(localStorage)") and "s3cret" in page.js("JSON.stringify(sessionStorage)")
    page.page("reload")
    ready(page)
    ask(page, "Again")
    assert page.texts(".answer") == ["Well.", "Well."] and page.at("#banner", "isHidden")


def test_a_key_is_asked_for_at_the_start(page: Browser, server: PageServer):
    server.state.key = "s3cret"
    page.page("reload")
    page.wait_shown("#banner input")
    page.fill("#banner input", "s3cret")
    page.press("Enter")
    page.wait_gone("#banner")
    assert page.texts(".model-name") == ["youtu-nano"]


@pytest.mark.parametrize("hostile_render", [False, True], ids=["in the answer", "from render"])
def test_html_cannot_run(page: Browser, server: PageServer, hostile_render: bool):
    page.js("void (window.boom = () => { window.ran = true; })")
    if hostile_render:
        server.state.render = lambda _: HOSTILE
    server.state.script.append(Reply(HOSTILE, HOSTILE))
    ask(page, HOSTILE)
    page.wait("document.querySelector('.answer.text:not(.plain) p')")
    page.click(".thinking summary")
    page.wait("document.querySelector('.thoughts:not(.plain) p')")
    page.js("""void document.querySelectorAll('.answer :not(a)').forEach((one) =>
        one.dispatchEvent(new MouseEvent('click', { bubbles: false })))""")
    page.page("waitForTimeout", 100)
    assert not page.js("window.ran")
    dangerous = (
        "script, iframe, object, form, svg:not(.icon), base, meta, link, style, details:not(.thinking), [onclick], "
        "[onerror], [style], [formaction]"
    )
    assert page.js(f"document.querySelectorAll('article :is({dangerous})').length") == 0
    assert page.js("document.querySelectorAll('article img, #messages [id], article .danger-button').length") == 0
    links = page.js("[...document.querySelectorAll('.answer a')].map((a) => [a.getAttribute('href'), a.rel, a.target])")
    assert {link[0] for link in links} <= {None, "https://example.org/"}
    if hostile_render:
        assert ["https://example.org/", "noopener noreferrer", "_blank"] in links and len(links) == 5
        assert "a picture" in page.texts(".answer")[0]
    else:
        assert "<script>boom()</script>" in page.texts(".answer")[0]
    assert page.js("document.querySelector('.bubble').childElementCount") == 0


def test_rendering_is_of_the_latest_text_and_never_overlaps(page: Browser, server: PageServer):
    text = " ".join(f"**{number}**" for number in range(150))
    server.state.script.append(Reply(text, pause=0.005))
    ask(page, "Count")
    page.wait("document.querySelectorAll('.answer strong').length === 150")
    assert server.state.most_renderings == 1
    assert 2 <= server.state.renderings <= 25, "a few times a second, not for each token"
    before = server.state.renderings
    page.click("#new")
    page.click("#conversations .open")
    page.wait("document.querySelectorAll('.answer strong').length === 150")
    assert server.state.renderings <= before + 1


def test_without_rendering_text_is_plain(page: Browser, server: PageServer):
    def fail(_: str) -> str:
        raise RuntimeError("rendering is broken")

    server.state.render = fail
    server.state.script.append(Reply("one **two**\n  three"))
    ask(page, "Hello")
    page.page("waitForTimeout", 300)
    assert page.js("document.querySelector('.answer').textContent") == "one **two**\n  three"
    assert page.js("getComputedStyle(document.querySelector('.answer')).whiteSpace") == "pre-wrap"


def test_code_mathematics_and_tables(page: Browser, server: PageServer):
    page.context("grantPermissions", ["clipboard-read", "clipboard-write"])
    server.state.script.append(Reply(CODE))
    ask(page, "Code")
    page.wait_shown(".code")
    assert page.texts(".code-head span")[0] == "python"
    assert page.js("[...document.querySelectorAll('.code .k')].map((one) => one.textContent)") == ["def", "return", "if", "else"]
    assert page.js("document.querySelector('.answer math msup').namespaceURI") == "http://www.w3.org/1998/Math/MathML"
    assert page.js("getComputedStyle(document.querySelector('td:last-child')).textAlign") == "right"
    page.click(".copy-code")
    assert page.js("navigator.clipboard.readText()") == "def f(x):  # twice\n    return 2.5 * x if x else 'none'\n"
    page.wait("document.querySelector('.copy-code').getAttribute('aria-label') === 'Copied'")
    page.click(".assistant .copy")
    assert page.js("navigator.clipboard.readText()") == CODE


def test_scrolling_follows_unless_the_reader_scrolled_up(page: Browser, server: PageServer):
    gap = "((box) => box.scrollHeight - box.clientHeight - box.scrollTop)(document.querySelector('#thread'))"
    halfway = threading.Event()
    lines = "\n\n".join(f"Paragraph {number}" for number in range(100))
    server.state.script.append(Reply(lines, halfway=halfway))
    page.fill("#text", "Much")
    page.press("Enter")
    page.wait("document.querySelectorAll('.answer p').length === 50")
    page.wait(f"{gap} < 5")
    page.mouse("move", 700, 300)
    page.mouse("wheel", 0, -600)
    page.wait(f"{gap} > 400")
    halfway.set()
    done(page)
    page.wait("document.querySelectorAll('.answer p').length === 100")
    assert page.js(gap) > 400
    page.click("#down")
    page.wait(f"{gap} < 5")
    page.wait_gone("#down")


def test_keyboard_alone(page: Browser, server: PageServer):
    assert page.js("document.activeElement.id") == "text", "it can be written at once"
    page.type("one")
    page.press("Shift+Enter")
    page.type("two")
    page.press("Enter")
    done(page)
    assert contents(server) == ["one\ntwo"]
    server.state.script.append(Reply("one two three four", halfway=threading.Event()))
    page.type("more")
    page.press("Enter")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'one two'")
    page.press("Escape")
    done(page)
    assert page.texts(".note") == ["Stopped."]
    page.press("ArrowUp")
    page.wait("document.activeElement.matches('.editor textarea')")
    page.press("Escape")
    page.press("Control+Shift+O")
    page.wait("document.querySelector('#empty').checkVisibility()")
    page.press("Control+,")
    page.wait("document.querySelector('#settings').open")
    page.press("Escape")
    page.press("Control+Shift+S")
    page.wait("!document.documentElement.classList.contains('list-shown')")
    page.press("Control+Shift+S")
    page.press("Shift+Escape")
    assert page.js("document.activeElement.id") == "text"
    reached = set()
    for _ in range(25):
        page.press("Tab")
        reached.add(page.js("document.activeElement.id || document.activeElement.className"))
        assert page.js("""((one) => one === document.body || one.closest('.pill, #composer') // whose frame shows it
            || getComputedStyle(one).outlineStyle !== 'none')(document.activeElement)"""), reached
    assert {
        "skip",
        "new",
        "search",
        "settings-open",
        "theme",
        "language",
        "hide-list",
        "example",
        "text",
        "thinking",
        "open",
    } <= reached


def test_an_input_method_uses_enter_for_itself(page: Browser, server: PageServer):
    page.cdp("Input.imeSetComposition", text="nihao", selectionStart=5, selectionEnd=5)
    page.js("""void document.querySelector('#text').dispatchEvent(
        new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }))""")
    assert server.state.requests == []
    page.cdp("Input.insertText", text="你好")
    page.press("Enter")
    done(page)
    assert contents(server) == ["你好"]


def test_on_a_phone(tab: Browser, server: PageServer):
    visit(tab, server, viewport={"width": 360, "height": 640}, isMobile=True, hasTouch=True)
    server.state.script.append(Reply(CODE + "a" * 300 + "\n\n```\n" + "b" * 300 + "\n```"))
    wide = """[document.documentElement, document.querySelector('#thread')].some((box) => box.scrollWidth > box.clientWidth)"""
    assert not tab.js(wide) and not tab.at("#list", "isVisible")
    ask(tab, "Hello" + "o" * 200)
    tab.wait("document.querySelectorAll('.code').length === 2")
    assert not tab.js(wide)
    tab.at("#show-list", "tap")
    tab.wait_shown("#new")
    assert not tab.js(wide) and tab.js("document.querySelector('main').inert")
    tab.press("Escape")
    tab.wait_gone("#new")
    tab.at("#show-list", "tap")
    tab.at("#settings-from-list", "tap")
    tab.wait_shown("#set-seed")
    assert not tab.js("document.querySelector('.sheet').scrollWidth > document.querySelector('.sheet').clientWidth")
    small = tab.js(
        "[...document.querySelectorAll('main button, main select')].filter((one) => one.checkVisibility())"
        ".filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.outerHTML)"
    )
    assert small == []  # WCAG 2.2: targets of 24 pixels


def test_both_languages_are_complete(page: Browser):
    languages = page.js("import('./static/words.js').then((module) => module.WORDS)")
    assert languages.keys() == {"en", "zh"}
    assert languages["en"].keys() == languages["zh"].keys()
    sources = "\n".join(file.read_text(encoding="utf-8") for file in PAGE.iterdir() if file.name not in ("words.js",))
    for key, english in languages["en"].items():
        assert re.findall(r"\{\w+\}", english) == re.findall(r"\{\w+\}", languages["zh"][key]), key
        assert re.search(rf"""["'`]{re.sub("(Text|More)$", "", key)}""", sources) or key == "name", f"{key} is never said"


def test_chinese(tab: Browser, server: PageServer):
    visit(tab, server, locale="zh-CN")
    assert tab.js("document.documentElement.lang") == "zh-CN" and tab.texts("#empty h2") == ["有什么可以帮你？"]
    ask(tab, "你好")
    tab.click("#settings-open")
    english = set(tab.js("import('./static/words.js').then((module) => Object.values(module.WORDS.en))"))
    shown = set(tab.js("document.body.innerText").split("\n")) | set(
        tab.js("""
        [...document.querySelectorAll('*')].flatMap((one) => [one.ariaLabel, one.placeholder, one.title])""")
    )
    assert shown & english <= {"English", "中文", "Top p", "Top k"}
    tab.at("#set-language", "selectOption", "en")
    assert tab.texts("#settings-title") == ["Settings"]
    tab.press("Escape")
    assert tab.texts("#new") == ["New conversation"] and tab.at("#text", "getAttribute", "placeholder") == "Write a message"
    tab.page("reload")
    ready(tab)
    assert tab.texts("#title") == ["你好"] and tab.at(".assistant", "getAttribute", "aria-label") == "youtu-nano answered"
    tab.click("#language")
    assert tab.texts("#settings-from-list") == ["设置"]


def accessible(page: Browser) -> list[dict[str, Any]]:
    """Nodes of the accessibility tree that aren't ignored: role and name."""
    nodes = [node for node in page.cdp("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    return [{"role": node["role"]["value"], "name": node.get("name", {}).get("value", "")} for node in nodes]


def test_every_control_has_a_name(page: Browser, server: PageServer):
    controls = {
        "button",
        "textbox",
        "searchbox",
        "combobox",
        "slider",
        "spinbutton",
        "link",
        "meter",
        "dialog",
        "navigation",
        "article",
        "region",
    }
    server.state.models = [MODEL, MODEL | {"id": "other"}]
    page.page("reload")
    ready(page)
    seen = accessible(page)
    server.state.script.append(Reply(CODE, "Hm."))
    ask(page, "Hello")
    page.wait_shown(".code")
    page.click(".again")
    done(page)
    server.state.script.append(Refusal(401))
    page.fill("#text", "Hello")
    page.press("Enter")
    page.wait_shown(".fault")
    page.click("#actions")
    seen += accessible(page)
    page.press("Escape")
    page.click(".user:first-child .edit")
    page.click("#settings-open")
    seen += accessible(page)
    assert [node for node in seen if node["role"] in controls and not node["name"].strip()] == []
    assert {"main", "navigation", "article", "status", "heading", "meter", "alert"} <= {node["role"] for node in seen}
    ids = page.js("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def test_a_screen_reader_hears_paragraphs_not_tokens(page: Browser, server: PageServer):
    page.js("""void (() => { window.heard = []; new MutationObserver((changes) => { for (const change of changes)
        for (const node of change.addedNodes) window.heard.push(node.textContent); })
        .observe(document.querySelector('#heard'), { childList: true, subtree: true, characterData: true }); })()""")
    server.state.script.append(Reply("one two three four five\n\nsix seven", pause=0.01))
    ask(page, "Hello")
    heard = page.js("window.heard")
    assert heard[0] == "Answering…" and heard[-1] == "The answer is complete." and len(heard) <= 4
    assert " ".join(" ".join(heard[1:-1]).split()) == "one two three four five six seven"
    assert page.js("document.querySelector('#messages').closest('[aria-live]')") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(tab: Browser, server: PageServer, theme: str):
    visit(tab, server, colorScheme="light")
    tab.click("#settings-open")
    tab.at("#set-theme", "selectOption", theme)
    tab.press("Escape")
    background = tab.js("getComputedStyle(document.body).backgroundColor")
    tab.page("reload")
    ready(tab)
    assert (
        tab.js("getComputedStyle(document.body).backgroundColor")
        == background
        == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 24, 28)"}[theme]
    )
    found = tab.js(CONTRAST)
    server.state.script.append(Reply(CODE, "Hm."))
    ask(tab, "Hello")
    tab.wait_shown(".code")
    server.state.script.append(Refusal(400, "no"))
    tab.fill("#text", "Hello")
    tab.press("Enter")
    tab.wait_shown(".fault")
    tab.page("waitForTimeout", 400)  # animations
    found += tab.js(CONTRAST)
    tab.click("#settings-open")
    tab.page("waitForTimeout", 400)
    found += tab.js(CONTRAST)
    assert len(found) > 80 and {"return", "# twice", "2.5", "'none'", "f"} <= {text for _, text in found}
    assert [one for one in found if one[0] < 4.5] == []


def test_everything_is_in_the_package():
    from fnmatch import fnmatch

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    pattern = re.search(r'"(serve/page/[^"]*)"', text)
    assert pattern and all(fnmatch(f"serve/page/{file.name}", pattern[1]) and file.is_file() for file in PAGE.iterdir())
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", index)
