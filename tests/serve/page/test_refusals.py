"""What the page does with messages that don't fit, and with answers that would repeat themselves."""

from __future__ import annotations

import threading

import pytest

from tests.browser import Browser
from tests.serve.page.driving import ask, contents, done, ready
from tests.serve.page.page_server import MODEL, PageServer, Refusal, Reply

LONG = Refusal(400, "the prompt has 9000 tokens", code="context_length_exceeded")


def too_long(page: Browser, server: PageServer) -> None:
    """A conversation whose second message doesn't fit."""
    ask(page, "One")
    server.state.script.append(LONG)
    page.fill("#text", "Too long")
    page.press("Enter")
    page.wait_shown(".fault")


def test_what_was_refused_is_not_sent_again(page: Browser, server: PageServer):
    too_long(page, server)
    assert page.texts(".fault p") == ["The server refused: the prompt has 9000 tokens"]
    assert page.texts(".user .note") == ["The server refused this message: it is not sent with later ones."]
    ask(page, "What is 2 + 3?")
    assert contents(server) == ["One", "Well.", "What is 2 + 3?"]
    page.page("reload")
    ready(page)
    ask(page, "And 4?")
    assert contents(server) == ["One", "Well.", "What is 2 + 3?", "Well.", "And 4?"]


def test_a_message_that_does_not_fit_can_be_edited(page: Browser, server: PageServer):
    too_long(page, server)
    page.click(".fault .edit-question")
    page.wait("document.activeElement.matches('.editor textarea')")
    page.press("Control+A")
    page.type("Short")
    page.press("Enter")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'Well.'")
    assert contents(server) == ["One", "Well.", "Short"]


def test_a_message_that_does_not_fit_can_be_asked_alone(page: Browser, server: PageServer):
    too_long(page, server)
    page.click(".fault .ask-alone")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'Well.'")
    done(page)
    assert contents(server) == ["Too long"] and page.at(".break", "count") == 1
    page.click("#new")
    server.state.script.append(LONG)
    page.fill("#text", "Too long by itself")
    page.press("Enter")
    page.wait_shown(".fault")
    assert page.at(".fault .ask-alone", "count") == 0, "there is nothing before it"


def test_a_message_that_does_not_fit_can_begin_a_conversation(page: Browser, server: PageServer):
    too_long(page, server)
    page.click(".fault .afresh")
    assert page.at("#empty", "isVisible") and page.at("#text", "inputValue") == "Too long"
    page.press("Enter")
    done(page)
    assert contents(server) == ["Too long"] and page.texts("#conversations .open") == ["Too long", "One"]


@pytest.mark.parametrize("why", ["greedy", "seed"])
def test_answer_again_says_why_it_would_repeat(page: Browser, server: PageServer, why: str):
    server.state.models = [MODEL | {"defaults": {"temperature": 0.0 if why == "greedy" else 1.0}}]
    page.page("reload")
    ready(page)
    if why == "seed":
        page.click("#settings-open")
        page.fill("#set-seed", "3")
        page.press("Escape")
    ask(page, "Hello")
    page.click(".again")
    page.wait_shown(".repeats")
    reason = {"greedy": "the likeliest token is always taken (temperature 0)", "seed": "the seed is the same"}[why]
    assert reason in page.texts(".repeats p")[0] and len(server.state.requests) == 1
    page.click(".repeats button >> nth=0")
    page.wait("document.querySelector('.assistant .versions')?.innerText === '2/2'")
    done(page)
    sent = server.state.requests[1]
    assert (sent.get("temperature"), sent.get("seed")) == ((0.8, None) if why == "greedy" else (None, None))
    page.click(".again")
    page.wait("document.querySelector('.assistant .versions')?.innerText === '3/3'")
    done(page)
    assert "temperature" not in server.state.requests[2], "the offer was for one answer: this one is asked for as ever"
    page.click(".again")
    page.click(".repeats button >> nth=1")
    page.wait("document.querySelector('.assistant .versions')?.innerText === '4/4'")


@pytest.mark.parametrize("end", ["length", "stop", "cut", "reload"])
def test_an_answer_goes_on(page: Browser, server: PageServer, end: str):
    never = threading.Event()
    first = {"length": Reply("one two", "Hm.", finish="length"), "cut": Reply("one two three four", "Hm.", cut=True)}
    server.state.script.extend([first.get(end, Reply("one two three four", "Hm.", halfway=never)), Reply(" and three")])
    page.fill("#text", "Count")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    if end == "stop":
        page.click("#stop")
    if end == "reload":
        page.page("waitForTimeout", 600)  # it is saved several times a second
        page.page("reload")
        ready(page)
    page.click(".go-on")
    page.wait("document.querySelector('.answer')?.innerText === 'one two and three'")
    done(page)
    sent = server.state.requests[1]
    assert sent["continue_final_message"] is True
    assert sent["messages"] == [
        {"role": "user", "content": "Count"},
        {"role": "assistant", "content": "one two", "reasoning_content": "Hm."},
    ]
    assert page.at(".go-on", "count") == 0 and page.at(".versions", "count") == 0
    page.page("reload")
    ready(page)
    page.wait("document.querySelector('.answer')?.innerText === 'one two and three'")
