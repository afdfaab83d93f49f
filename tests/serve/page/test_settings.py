"""How answers are asked for belongs to a conversation: seen above it, kept with each answer, exported, and kept as presets."""

from __future__ import annotations

import json

from tests.browser import Browser
from tests.serve.page.driving import ask, contents, ready
from tests.serve.page.page_server import MODEL, PageServer


def set_up(page: Browser, **values: str) -> None:
    page.click("#settings-open")
    for name, value in values.items():
        if name in ("stop", "raw", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_p"):
            page.js("void (document.querySelector('#set-others').open = true)")
        page.fill(f"#set-{name}", value)
    page.press("Escape")


def test_they_are_a_conversations_own(page: Browser, server: PageServer):
    assert page.at("#asked", "isHidden")
    set_up(page, system="Be brief.", temperature="0.5")
    assert page.texts("#asked") == ["System message: Be brief. · temperature 0.5"]
    ask(page, "One")
    page.click("#new")
    assert page.at("#asked", "isHidden"), "a new conversation begins with the defaults"
    ask(page, "Two")
    assert contents(server) == ["Two"] and "temperature" not in server.state.requests[-1]
    page.click("#conversations [data-id]:not(.current) .open")
    page.wait_shown("#asked")
    ask(page, "Three")
    assert contents(server) == ["Be brief.", "One", "Well.", "Three"] and server.state.requests[-1]["temperature"] == 0.5
    page.at("#thinking", "selectOption", "off")
    page.click("#asked")
    assert (page.at("#set-system", "inputValue"), page.at("#set-thinking", "inputValue")) == ("Be brief.", "off")
    page.press("Escape")
    page.page("reload")
    ready(page)
    assert page.texts("#asked") == ["System message: Be brief. · temperature 0.5"]
    ask(page, "Four")
    assert server.state.requests[-1]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "Thinking: Off" in page.js("[...document.querySelectorAll('.facts')].at(-1).title")
    page.click("#new")
    assert page.at("#thinking", "inputValue") == "auto"
    ask(page, "Five")
    assert "chat_template_kwargs" not in server.state.requests[-1]


def test_each_answer_and_each_export_says_how_it_was_asked_for(page: Browser, server: PageServer):
    set_up(page, system="Be brief.", temperature="0.5")
    ask(page, "One")
    set_up(page, system="Be long.", temperature="1")
    page.click(".again")
    page.wait("document.querySelector('.assistant .versions')?.innerText === '2/2'")
    titles = page.js("[...document.querySelectorAll('.facts')].map((one) => one.title)")
    assert titles == ["youtu-nano\ntemperature 1\nSystem message: Be long."]
    for kind in ("Markdown", "JSON"):
        page.click("#actions")
        page.click(f"#menu button:has-text('{kind}')")
    page.wait("document.querySelector('#menu:popover-open') === null")
    page.page("waitForTimeout", 100)
    files = page.downloads()
    exported = json.loads(files["One.json"])
    assert exported["settings"]["system"] == "Be long." and exported["messages"][0] == {"role": "system", "content": "Be long."}
    asked = [node["asked"] for node in exported["tree"]["nodes"].values() if node["role"] == "assistant"]
    assert [(one["system"], one["sampling"]["temperature"]) for one in asked] == [("Be brief.", 0.5), ("Be long.", 1)]
    assert "## System message\n\n" in files["One.md"] and "Be long." in files["One.md"] and "temperature 1" in files["One.md"]


def test_presets(page: Browser, server: PageServer):
    page.click("#settings-open")
    assert page.at("#set-preset", "inputValue") == "", "the model's defaults"
    page.fill("#set-system", "You are a pirate.")
    page.fill("#set-top_k", "7")
    page.fill("#preset-name", "Pirate")
    page.click("#preset-keep")
    assert page.at("#set-preset", "inputValue") == "Pirate"
    page.click("#preset-first")
    assert page.at("#preset-first", "getAttribute", "aria-pressed") == "true"
    page.press("Escape")
    ask(page, "One")
    page.click("#new")
    ask(page, "Two")
    assert contents(server) == ["You are a pirate.", "Two"] and server.state.requests[-1]["top_k"] == 7
    page.page("reload")
    ready(page)
    page.click("#settings-open")
    page.at("#set-preset", "selectOption", "")
    assert page.at("#set-system", "inputValue") == ""
    page.press("Escape")
    ask(page, "Three")
    assert contents(server) == ["Two", "Well.", "Three"], "in this conversation alone"
    page.click("#new")
    page.click("#settings-open")
    assert page.at("#set-preset", "inputValue") == "Pirate"
    page.click("#preset-remove")
    page.press("Escape")
    page.click("#new")
    ask(page, "Four")
    assert contents(server) == ["Four"]


def test_what_was_global_once_becomes_a_preset(page: Browser, server: PageServer):
    page.js("""localStorage.setItem('youtu-onnx:preferences',
      JSON.stringify({ system: 'Be kind.', thinking: 'on', sampling: { top_k: 3 } }))""")
    page.page("reload")
    ready(page)
    ask(page, "One")
    assert contents(server) == ["Be kind.", "One"]
    assert (server.state.requests[0]["top_k"], page.at("#thinking", "inputValue")) == (3, "on")


def test_penalties_stop_strings_and_fields_that_the_page_does_not_know(page: Browser, server: PageServer):
    set_up(
        page,
        presence_penalty="-0.5",
        frequency_penalty="0.3",
        repetition_penalty="1.1",
        stop="END\n\\n\\n",
        raw='{"logit_bias": ',
    )
    assert page.at("#set-min_p", "count") == 0, "this server doesn't say that it takes it"
    page.click("#settings-open")
    assert page.at("#set-others", "getAttribute", "open") is not None, "what is set is seen"
    page.fill("#set-raw", '{"messages": []}')
    assert "a field that the page sends itself" in page.texts("#set-raw-wrong")[0]
    page.fill("#set-raw", '{"logit_bias": {"5": -100}}')
    assert page.texts("#set-raw-wrong") == [""]
    page.press("Escape")
    ask(page, "Hello")
    sent = server.state.requests[0]
    assert (sent["presence_penalty"], sent["frequency_penalty"], sent["repetition_penalty"]) == (-0.5, 0.3, 1.1)
    assert sent["stop"] == ["END", "\n\n"] and sent["logit_bias"] == {"5": -100}
    server.state.models = [MODEL | {"defaults": {"min_p": 0.0}}]
    page.page("reload")
    ready(page)
    set_up(page, min_p="0.05")
    ask(page, "Again")
    assert server.state.requests[1]["min_p"] == 0.05


def test_settings_that_storage_refuses_are_reported(page: Browser, server: PageServer):
    page.js("void (Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); })")
    set_up(page, temperature="0.5")
    assert page.texts("#toast span") == ["The browser keeps no settings: they hold until the page is closed."]
    ask(page, "Hello")
    assert server.state.requests[0]["temperature"] == 0.5


def test_drafts_stay_with_their_conversations(page: Browser, server: PageServer):
    ask(page, "One")
    page.fill("#text", "about one")
    page.click("#new")
    assert page.at("#text", "inputValue") == ""
    page.fill("#text", "about something new")
    page.click("#conversations .open")
    page.wait("document.querySelector('#text').value === 'about one'")
    page.page("reload")
    ready(page)
    assert page.at("#text", "inputValue") == "about one"
    page.click("#new")
    assert page.at("#text", "inputValue") == "about something new"
    page.press("Enter")
    page.wait("document.querySelectorAll('.assistant').length === 1")
    assert page.at("#text", "inputValue") == ""
