"""What the page says where the server is gone, busy, closed or broken."""

from __future__ import annotations

import pytest

from tests.browser import Browser
from tests.serve.page.driving import ask, contents, ready
from tests.serve.page.page_server import PageServer, Refusal, Reply


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


def test_an_answer_that_breaks_off_after_its_headers_is_a_lost_connection(page: Browser, server: PageServer):
    server.state.cut = frozenset({"/render", "/v1/models"})
    server.state.script.append(Reply("one **two**"))
    ask(page, "Hello")  # no fault on the console, which the fixture looks for
    assert page.js("document.querySelector('.answer').textContent") == "one **two**"
    page.page("reload")
    page.wait("document.querySelector('#banner').textContent === \"The server can't be reached. Trying again…\"")
    server.state.cut = frozenset()
    page.wait("document.querySelector('.answer strong')?.innerText === 'two'")
    page.wait("document.querySelector('.model-name')?.textContent === 'youtu-nano'")


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
