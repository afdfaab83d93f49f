"""Conversations on the page: answers stream, are stopped, made anew, edited, kept, found again and taken away."""

from __future__ import annotations

import json
import re
import threading

from tests.browser import Browser
from tests.serve.page.driving import ask, contents, done, ready
from tests.serve.page.page_server import PageServer, Reply, pieces


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
            "return_progress": True,
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
    page.wait("document.querySelectorAll('#conversations .open').length === 1")
    assert page.texts("#conversations .open") == ["Is this 一个 title: / good?"]
    page.click("#conversations .open")
    page.fill("#search", "")
    page.wait("document.querySelectorAll('#conversations .open').length === 2")
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


def test_without_storage_it_works_until_it_is_closed(page: Browser, server: PageServer):
    page.context("addInitScript", {"content": "indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); };"})
    page.page("reload")
    ready(page)
    assert page.texts("#toast span") == ["This browser refuses storage: conversations are lost when the page is closed."]
    ask(page, "One")
    page.click("#new")
    ask(page, "Two")
    page.fill("#search", "one")
    page.wait("document.querySelector('.excerpt mark')?.textContent === 'One'")
    page.click("#conversations .open")
    page.wait("document.querySelector('.bubble')?.innerText === 'One'")
    ask(page, "Three")
    assert contents(server) == ["One", "Well.", "Three"]
    page.click("#actions")
    page.click("#menu button:has-text('Delete')")
    page.click("#toast button")
    page.wait("document.querySelectorAll('.bubble').length === 2")
    page.page("reload")
    ready(page)
    assert page.texts("#conversations .open") == []
