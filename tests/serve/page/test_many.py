"""Thousands of conversations, honest tokens a second, and what was said before the first word of an answer."""

from __future__ import annotations

import re
import threading

from tests.browser import Browser
from tests.serve.page.driving import ask, done, ready
from tests.serve.page.page_server import PageServer, Refusal, Reply

COUNT = 2000
FILL = f"""(async () => {{
  const {{ Store }} = await import('./static/store.js');
  const tree = await import('./static/conversation.js');
  const store = new Store();
  await store.open();
  const writes = [];
  for (let number = 0; number < {COUNT}; number++) {{
    const one = tree.create();
    tree.add(one, null, {{ role: 'user', text: `question ${{number}} about apples and pears` }});
    one.updated = Date.now() - number * 1000;
    writes.push(store.update(one.id, () => one));
  }}
  await Promise.all(writes);
}})()"""
WATCH = """void (() => {
  window.did = { getAll: 0, put: 0, rows: 0 };
  for (const name of ['getAll', 'put']) {
    const plain = IDBObjectStore.prototype[name];
    IDBObjectStore.prototype[name] = function (...all) { window.did[name]++; return plain.apply(this, all); };
  }
  new MutationObserver((changes) => { for (const change of changes) window.did.rows += change.addedNodes.length; })
    .observe(document.querySelector('#conversations'), { childList: true });
})()"""
CLOCK = "void (() => { window.time = 1e12; Date.now = () => window.time; })()"


def test_two_thousand_conversations(page: Browser, server: PageServer):
    page.js(FILL)
    page.page("reload")
    ready(page)
    rows = "document.querySelectorAll('#conversations [data-id]').length"
    assert page.js("document.querySelectorAll('#conversations *').length") < 1000 and page.js(rows) == 60
    page.js("void document.querySelector('#conversations').scrollTo(0, 1e6)")
    page.wait(f"{rows} === 120")
    page.js(WATCH)
    pieces = 300
    server.state.script.append(Reply(" word" * pieces))
    ask(page, "Hello")
    did = page.js("window.did")
    assert did["getAll"] == 0, "what is kept isn't read again for the list"
    assert did["put"] < pieces / 2 and did["rows"] < 10 * 140, "neither written nor drawn for each token"
    page.fill("#search", "1999 about APPLES")
    page.wait(f"{rows} === 1")
    assert page.texts("#conversations .excerpt") == ["question 1999 about apples and pears"]
    assert page.texts("#conversations .excerpt mark") == ["1999 about apples"]
    page.fill("#search", "nobody said this")
    page.wait_shown("#no-conversations")
    page.fill("#search", "pears")
    page.wait(f"{rows} === 60")


def test_an_excerpt_shows_what_was_found(page: Browser, server: PageServer):
    server.state.script.append(Reply("The first of many words, among which is <b>Zanzibar</b>, and then " + "more " * 40))
    ask(page, "Hello")
    page.fill("#search", "zanzi")
    page.wait_shown(".excerpt")
    [said] = page.texts(".excerpt")
    assert page.texts(".excerpt mark") == ["Zanzi"]
    assert said.startswith("…") and said.endswith("…") and "which is <b>Zanzibar</b>, and" in said
    page.fill("#search", "hello")
    page.wait("document.querySelector('.excerpt mark')?.textContent === 'Hello'")
    page.click("#new")
    page.click(".excerpt")
    page.wait_shown(".answer")


def test_tokens_a_second_are_counted_by_the_clock(page: Browser, server: PageServer):
    page.js(CLOCK)
    halfway = threading.Event()
    server.state.script.append(Reply("one two three four", halfway=halfway))
    page.fill("#text", "Count")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.js("void (window.time += 2000)")
    halfway.set()
    done(page)
    assert page.texts(".facts") == ["4 tokens · 1.5 tokens/s · first after 0.1 s"]  # three after the first, in two seconds


def test_tokens_that_had_waited_make_no_speed(page: Browser, server: PageServer):
    page.js(CLOCK)
    thought = threading.Event()
    server.state.script.append(Reply(" word" * 400, thought=thought, at_once=True))
    page.fill("#text", "Count")
    page.press("Enter")
    while not server.state.requests:
        page.wait("document.querySelector('.waiting:not([hidden])')")
    page.js("void (window.time += 4000)")  # it stands still: then all of it is there at once
    thought.set()
    done(page)
    assert re.fullmatch(r"400 tokens · 100 tokens/s · first after 4 s", page.texts(".facts")[0])


def test_what_the_server_measured_is_shown(page: Browser):
    speed = "import('./static/speed.js').then(({ speedOf }) => speedOf(%s))"
    assert page.js(speed % "{ rate: 12.5, tokens: 5, times: { began: 0, first: 1, last: 2 } }") == 12.5
    assert page.js(speed % "{ tokens: 5, times: { began: 0, first: 1000, last: 1000 } }") is None


def test_the_prompt_is_seen_to_be_read(page: Browser, server: PageServer):
    def progress(processed: int, ms: int) -> dict[str, object]:
        return {"prompt_progress": {"total": 4000, "cache": 1000, "processed": processed, "time_ms": ms}}

    gates = [threading.Event() for _ in range(4)]
    server.state.script.append(
        Reply(
            signs=[
                ({"queue": {"position": 3}}, gates[0]),
                ({"queue": {"position": 1}}, gates[1]),
                (progress(2000, 10_000), gates[2]),
                (progress(4000, 30_000), gates[3]),
            ]
        )
    )
    page.fill("#text", "Long")
    page.press("Enter")
    sign = "document.querySelector('.sign:not([hidden])')?.innerText.trim()"
    page.wait(f"{sign} === 'The server is busy: 2 before this one.'")
    gates[0].set()
    page.wait(f"{sign} === 'The server is busy: this one is next.'")
    gates[1].set()
    page.wait(f"{sign} === 'Reading the prompt: 2,000 of 4,000 tokens · 1,000 known from before · 20 s left'")
    assert page.js("document.querySelector('.sign progress').value") == 0.5
    gates[2].set()
    page.wait(f"{sign} === 'Reading the prompt: 4,000 of 4,000 tokens · 1,000 known from before'")
    gates[3].set()
    done(page)
    assert page.js("document.querySelector('.sign').hidden") and page.texts(".answer") == ["Well."]


def test_the_model_is_seen_to_be_loaded(page: Browser, server: PageServer):
    server.state.models = [{"id": "small"}, {"id": "large", "loaded": False}]
    page.page("reload")
    ready(page)
    page.at("#model", "selectOption", "large")
    loads = threading.Event()
    server.state.script.append(Reply(silent=loads))
    page.fill("#text", "Hello")
    page.press("Enter")
    page.wait("document.querySelector('.sign:not([hidden])')?.innerText.trim() === 'The model is being loaded…'")
    assert page.js("document.querySelector('.sign progress').hidden")
    loads.set()
    done(page)
    assert page.js("document.querySelector('.sign').hidden") and page.texts(".answer") == ["Well."]


def test_a_server_that_tells_no_progress_is_asked_without(page: Browser, server: PageServer):
    server.state.script.append(Refusal(400, "not a field", param="return_progress", code="unsupported_field"))
    ask(page, "One")
    ask(page, "Two")
    assert [request.get("return_progress") for request in server.state.requests] == [True, None, None]
    assert page.texts(".answer") == ["Well.", "Well."]
