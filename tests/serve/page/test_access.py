"""The page for everyone: by keyboard, on a phone, with an input method, a screen reader, and eyes that want contrast."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.browser import Browser
from tests.serve.page.driving import CODE, ask, contents, done, ready, visit
from tests.serve.page.page_server import MODEL, PageServer, Refusal, Reply

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


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_at_320_pixels(tab: Browser, server: PageServer, locale: str):
    visit(tab, server, viewport={"width": 320, "height": 568}, isMobile=True, hasTouch=True, locale=locale)
    ask(tab, "Hello")
    tab.fill("#text", "More")
    outside = """[...document.querySelectorAll('header *, footer *')].filter((one) => one.checkVisibility())
        .filter((one) => { const box = one.getBoundingClientRect(); return box.left < 0 || box.right > innerWidth; })
        .map((one) => one.outerHTML)"""
    assert tab.js(outside) == [] and tab.at("#send", "isVisible")
    overlaps = """((boxes) => boxes.filter((one, index) => index && one.left < boxes[index - 1].right - 1).length)(
        [...document.querySelectorAll('#composer .row > *')].filter((one) => one.checkVisibility())
        .map((one) => one.getBoundingClientRect()))"""
    assert tab.js(overlaps) == 0
    tab.at("#send", "tap")
    done(tab)
    assert tab.at(".assistant", "count") == 2
    tab.js("document.querySelector('#settings-from-list').click()")
    assert not tab.js("document.querySelector('.sheet').scrollWidth > document.querySelector('.sheet').clientWidth")


def test_the_menu_is_a_menu(page: Browser, server: PageServer):
    ask(page, "Hello")
    page.at("#actions", "focus")
    page.press("Enter")
    page.wait("document.querySelector('#menu').matches(':popover-open')")
    menu = [node for node in accessible(page) if node["role"] in ("menu", "menuitem")]
    assert menu[0] == {"role": "menu", "name": "Actions for this conversation"} and len(menu) == 7
    assert page.at("#actions", "getAttribute", "aria-expanded") == "true"
    focused = "document.activeElement.textContent"
    for key, words in (("ArrowUp", "Delete"), ("Home", "Rename"), ("End", "Delete"), ("ArrowDown", "Rename")):
        page.press(key)
        assert page.js(focused) == words
    page.press("Tab")
    page.wait("!document.querySelector('#menu').matches(':popover-open')")
    assert page.at("#actions", "getAttribute", "aria-expanded") is None


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
