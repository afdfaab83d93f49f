"""How the page shows text: nothing in it runs, code and formulas are readable, and it stays where the reader is."""

from __future__ import annotations

import threading

import pytest

from tests.browser import Browser
from tests.serve.page.driving import CODE, HOSTILE, ask, done
from tests.serve.page.page_server import PageServer, Reply


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


def test_task_lists_and_footnotes(page: Browser, server: PageServer):
    text = "- [x] done\n- [ ] open\n- other\n\nSaid[^a] and more[^b].\n\n[^a]: The *first* note.\n[^b]: The second."
    server.state.script.extend([Reply(text), Reply(text)])
    ask(page, "Tasks")
    ask(page, "Tasks")
    page.wait("document.querySelectorAll('.answer [data-note]').length === 4")
    last = ".assistant:last-child .answer"
    marks = page.js(f"[...document.querySelectorAll('{last} .task .task-mark')].map((one) => [one.ariaLabel, one.textContent])")
    assert marks == [["Done", "☑"], ["To do", "☐"]] and page.at(f"{last} input", "count") == 0
    assert page.texts(f"{last} [data-to-note]") == ["1", "2"]
    page.click(f"{last} [data-to-note='1']")
    assert page.js("document.activeElement.innerText").startswith("The first note.")
    assert page.js(f"document.activeElement.closest('{last}') !== null"), "of this answer, not of the other"
    page.click(f"{last} [data-to-mark='1']")
    assert page.js("document.activeElement.dataset.toNote") == "1"
    assert page.js("location.hash").removeprefix("#") and page.at("#messages [id]", "count") == 0


def test_tall_messages_are_folded(page: Browser, server: PageServer):
    long = "\n".join(f"line {number} of a long message" for number in range(600))
    page.fill("#text", long)
    page.press("Enter")
    done(page)
    height = "document.querySelector('.user').getBoundingClientRect().height"
    page.wait(f"{height} < 500")
    page.click(".unfold")
    assert page.js(height) > 5000 and page.texts(".unfold") == ["Show less"]
    page.click(".unfold")
    assert page.js(height) < 500 and page.at(".unfold", "getAttribute", "aria-expanded") == "false"
    ask(page, "short")
    assert page.at(".user:nth-last-child(2) .unfold", "isHidden")
