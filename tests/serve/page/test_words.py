"""The page's words in both languages, and its files in the package."""

from __future__ import annotations

import re
from fnmatch import fnmatch

from tests.browser import Browser
from tests.cli_process import ROOT
from tests.serve.page.driving import ask, ready, visit
from tests.serve.page.page_server import PAGE, PageServer


def test_both_languages_are_complete(page: Browser):
    languages = page.js("import('./static/words.js').then((module) => module.WORDS)")
    assert languages.keys() == {"en", "zh"}
    assert languages["en"].keys() == languages["zh"].keys()
    sources = "\n".join(file.read_text(encoding="utf-8") for file in PAGE.iterdir() if not file.name.startswith("words"))
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


def test_everything_is_in_the_package():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pattern = re.search(r'"(serve/page/[^"]*)"', text)
    assert pattern and all(fnmatch(f"serve/page/{file.name}", pattern[1]) and file.is_file() for file in PAGE.iterdir())
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", index)
