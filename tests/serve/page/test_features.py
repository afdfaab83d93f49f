"""Files, imports, exports as pages, edited, deleted and forked messages, probabilities, questions in the address, offline."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from tests.browser import Browser
from tests.serve.page.driving import HOSTILE, ask, contents, done, ready
from tests.serve.page.page_server import MODEL, PAGE, PageServer, Reply

DROP = """((name, text) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  for (const type of ['dragover', 'drop'])
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
})"""
PASTE = """((text) => {
  const data = new DataTransfer();
  data.setData('text/plain', text);
  const event = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
  return document.querySelector('#text').dispatchEvent(event);
})"""


def menu(page: Browser, button: str, item: str) -> None:
    page.click(button)
    page.click(f"#menu button:has-text('{item}')")


def test_text_files_go_with_a_message(page: Browser, server: PageServer, tmp_path: Path):
    notes, picture = tmp_path / "notes.md", tmp_path / "picture.png"
    notes.write_text("# Notes\n\n```\ncode\n```\n", encoding="utf-8")
    picture.write_bytes(b"\x89PNG\0\xff")
    page.at("#files", "setInputFiles", [str(notes), str(picture)])
    page.wait("document.querySelectorAll('.chip').length === 1")
    assert page.texts("#toast span") == ["picture.png is no text in UTF-8."]
    page.js(f"void {DROP}('data.csv', 'a,b')")
    page.wait("document.querySelectorAll('.chip').length === 2")
    page.js(f"void {DROP}('wrong.csv', 'c')")
    page.wait("document.querySelectorAll('.chip').length === 3")
    page.click("[aria-label='Take wrong.csv away']")
    page.page("reload")
    ready(page)
    assert page.texts(".chip-name") == ["notes.md", "data.csv"], "they are part of the draft"
    ask(page, "What is in them?")
    [said] = contents(server)
    assert said == "notes.md:\n````\n# Notes\n\n```\ncode\n```\n````\n\ndata.csv:\n```\na,b\n```\n\nWhat is in them?"
    assert page.texts(".bubble") == ["What is in them?"] and page.at("#attached", "isHidden")
    page.click(".file >> nth=1")
    page.wait("document.querySelectorAll('.file')[1].open")
    assert page.texts(".file pre")[1] == "a,b"
    page.click(".user .edit")
    page.click(".editor [aria-label='Take data.csv away']")
    page.click(".editor .main-button")
    page.wait("document.querySelector('.user .versions')?.innerText === '2/2'")
    done(page)
    assert "data.csv" not in contents(server)[0] and "notes.md" in contents(server)[0]


def test_a_long_paste_becomes_a_file(page: Browser, server: PageServer):
    assert page.js(f"{PASTE}('short')") is True, "that is left to the browser"
    long = "many words\\n" * 300
    assert page.js(f"{PASTE}('{long}')") is False
    assert page.texts(".chip-name") == ["Pasted text 1"] and page.at("#text", "inputValue") == ""
    page.click("#send")
    done(page)
    assert contents(server)[0].startswith("Pasted text 1:\n```\nmany words\n") and page.texts("#title") == ["Pasted text 1"]


def test_what_is_exported_can_be_imported(page: Browser, server: PageServer, tmp_path: Path):
    server.state.script.extend([Reply("A", "Hm."), Reply("B")])
    page.click("#settings-open")
    page.fill("#set-system", "Be brief.")
    page.press("Escape")
    ask(page, "One")
    page.click(".again")
    page.wait("document.querySelector('.assistant .versions')?.innerText === '2/2'")
    done(page)
    page.click("#clear")
    ask(page, "Two")
    page.click("#settings-open")
    page.click("#settings button:has-text('Export all')")
    page.page("waitForTimeout", 100)
    text = page.downloads()["conversations.json"]
    page.click("#settings .plain-button.danger")
    page.click("#settings .danger-button")
    page.wait("document.querySelectorAll('#conversations .open').length === 0")
    kept, plain, wrong = tmp_path / "kept.json", tmp_path / "plain.json", tmp_path / "wrong.json"
    kept.write_text(text, encoding="utf-8")
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, {"role": "assistant", "content": HOSTILE}]
    plain.write_text(json.dumps({"messages": messages, "title": "<b>plain</b>"}), encoding="utf-8")
    tree = {"nodes": {"a": {"role": "root"}, "b": 3}, "children": {"root": ["a", "b", "__proto__"]}, "chosen": {"root": "c"}}
    wrong.write_text(json.dumps([{"tree": tree}, 5, None, {"messages": [1]}]), encoding="utf-8")
    page.at("#import", "setInputFiles", str(wrong))
    page.wait("document.querySelector('#toast').innerText.includes('No conversation')")
    page.at("#import", "setInputFiles", [str(kept), str(plain)])
    page.wait("document.querySelectorAll('#conversations .open').length === 2")
    page.wait("document.querySelectorAll('.answer').length === 2")
    assert page.texts(".bubble") == ["One", "Two"] and page.texts(".answer") == ["B", "Well."]
    assert page.texts(".assistant .versions") == ["2/2"] and page.at(".break", "count") == 1
    ask(page, "Three")
    assert contents(server) == ["Be brief.", "Two", "Well.", "Three"]
    page.click("#conversations .open:has-text('<b>plain</b>')")
    page.wait("document.querySelector('.bubble')?.innerText === 'U'")
    assert not page.js("document.querySelector('article :is(script, iframe, form, [onclick])')")
    ask(page, "More")
    assert contents(server)[:2] == ["S", "U"]


def test_answers_are_edited_and_messages_deleted_and_forked(page: Browser, server: PageServer):
    server.state.script.extend([Reply("A"), Reply("B")])
    ask(page, "One")
    ask(page, "Two")
    menu(page, ".assistant:nth-child(2) .more", "Edit the answer")
    page.press("Control+A")
    page.type("A, but better")
    page.click(".editor .main-button")
    page.wait("document.querySelector('.answer')?.innerText === 'A, but better'")
    assert page.texts(".bubble") == ["One"] and page.texts(".facts") == ["Edited"], "what followed the other version is with it"
    ask(page, "Three")
    assert contents(server) == ["One", "A, but better", "Three"]
    menu(page, ".user:nth-child(3) .more", "Delete from here")
    page.wait("document.querySelectorAll('article').length === 2")
    page.click("#toast button")
    page.wait("document.querySelectorAll('article').length === 4")
    menu(page, ".assistant:nth-child(2) .more", "Go on from here")
    page.wait("document.querySelector('#title').innerText === 'One (from here)'")
    assert page.texts(".bubble") == ["One"] and page.at(".versions", "count") == 0
    ask(page, "Four")
    assert contents(server) == ["One", "A, but better", "Four"]
    page.page("reload")
    ready(page)
    assert page.texts("#conversations .open") == ["One (from here)", "One"] and page.texts(".bubble") == ["One", "Four"]
    menu(page, ".user:nth-child(1) .more", "Delete from here")
    page.wait("document.querySelector('#empty').checkVisibility()")


def test_a_whole_conversation_is_copied_or_saved_as_a_page(page: Browser, server: PageServer):
    page.context("grantPermissions", ["clipboard-read", "clipboard-write"])
    server.state.script.append(Reply("Yes, *it* is:\n\n```python\nreturn 1\n```", "Sure?"))
    ask(page, "Is <b>it</b>?")
    menu(page, "#actions", "Copy the whole")
    page.wait("document.querySelector('#toast').innerText === 'Copied'")
    assert page.js("navigator.clipboard.readText()").endswith("> Sure?\n\nYes, *it* is:\n\n```python\nreturn 1\n```\n")
    menu(page, "#actions", "HTML")
    page.wait("document.querySelector('#menu:popover-open') === null")
    page.page("waitForTimeout", 300)
    [(name, html)] = page.downloads().items()
    assert name == "Is-b-it-b.html" and "<em>it</em>" in html and "Is &lt;b&gt;it&lt;/b&gt;?" in html
    assert "<script" not in html and "<button" not in html and '<span class="k">return</span>' in html and "src=" not in html
    page.another("about:blank")
    page.page("setContent", html)
    assert page.texts("h2") == ["You", "youtu-nano"] and page.texts("em") == ["it"]
    assert page.js("getComputedStyle(document.querySelector('.code .k')).color !== getComputedStyle(document.body).color")


def test_probabilities_of_tokens_on_demand(page: Browser, server: PageServer):
    ask(page, "Hello")
    assert "logprobs" not in server.state.requests[0] and page.at(".probabilities", "count") == 0
    page.click("#settings-open")
    page.js("void (document.querySelector('#set-others').open = true)")
    page.at("#set-probabilities", "check")
    page.press("Escape")
    server.state.script.append(Reply("one <b>x two", logprobs=[-0.01, -1.0, -3.0]))
    ask(page, "Hello")
    assert server.state.requests[1]["logprobs"] is True and server.state.requests[1]["top_logprobs"] == 5
    assert page.at(".token", "count") == 0, "nothing is drawn before it is unfolded"
    page.click(".probabilities summary")
    page.wait("document.querySelectorAll('.token').length === 3")
    assert page.js("[...document.querySelectorAll('.token')].map((one) => one.className)") == [
        "token shade-0",
        "token shade-2",
        "token shade-4",
    ]
    page.click(".token >> nth=1")
    assert page.texts(".token-about") == ["“·<b>x” 36.8 % · “other” 5 %"]
    page.page("reload")
    ready(page)
    page.click(".probabilities summary")
    page.wait("document.querySelectorAll('.token').length === 3")


def test_a_question_in_the_address(page: Browser, server: PageServer):
    page.page("goto", f"{server.address}?q=What%20is%20%3Cb%3E%3F")
    ready(page)
    page.wait("document.querySelector('.answer')?.innerText === 'Well.'")
    assert contents(server) == ["What is <b>?"] and server.state.requests[0]["model"] == "youtu-nano"
    assert "?q" not in page.js("location.href")
    page.page("reload")
    ready(page)
    assert page.texts(".bubble") == ["What is <b>?"] and len(server.state.requests) == 1


def test_several_models_and_what_is_known_of_them(page: Browser, server: PageServer):
    facts = {"precision": "int4", "provider": "CPUExecutionProvider", "bytes": 3 << 30, "memory_bytes": 1 << 20, "version": "1.2"}
    larger = MODEL | {"id": "youtu-2b", "context_length": 32768, "loaded": False, "details": facts}
    server.state.models = [MODEL, larger]
    page.page("reload")
    ready(page)
    page.at("#model", "selectOption", "youtu-2b")
    server.state.models = [MODEL, larger | {"details": facts | {"memory_bytes": 2 << 30}}]
    page.click("#model-about")
    page.wait("document.querySelector('#model-panel').open")
    page.wait("document.querySelector('.about').innerText.includes('2,048 MiB')")  # what is taken now
    known = page.js("""Object.fromEntries([...document.querySelectorAll('.about > div')]
        .map((one) => [one.children[0].innerText, one.children[1].innerText]))""")
    assert known["Model"] == "youtu-2b" and known["Precision"] == "int4" and known["Context"] == "32,768"
    assert known["Provider"] == "CPUExecutionProvider" and known["Weights"] == "3,072 MiB" and known["Version"] == "1.2"
    assert known["Loaded"] == "No"
    page.press("Escape")
    ask(page, "Hello")
    page.page("reload")
    ready(page)
    assert page.at("#model", "inputValue") == "youtu-2b" and server.state.requests[0]["model"] == "youtu-2b"


def test_it_is_installable_and_opens_without_the_server(tab: Browser, server: PageServer):
    tab.open(server.address, serviceWorkers="allow")
    ready(tab)
    ask(tab, "One")
    tab.wait("navigator.serviceWorker.ready.then(() => caches.has('youtu-onnx page'))")
    tab.page("reload")
    ready(tab)
    manifest = tab.js("fetch(document.querySelector('link[rel=manifest]').href).then((found) => found.json())")
    where = tab.js("document.querySelector('link[rel=manifest]').href")
    assert tab.js(f"new URL('{manifest['start_url']}', '{where}').href") == server.address
    assert manifest["display"] == "standalone" and manifest["icons"]
    server.stop()
    try:
        tab.page("reload")
        tab.wait("document.documentElement.dataset.ready")
        tab.wait_shown("#banner.gone")
        assert (
            tab.texts(".bubble") == ["One"]
            and tab.js("getComputedStyle(document.querySelector('.bubble')).borderRadius") != "0px"
        )
    finally:
        server.start()
    tab.wait("document.querySelector('#banner').innerText === 'Connected again.'")
    ask(tab, "Two")
    kept = tab.js("caches.open('youtu-onnx page').then((cache) => cache.keys()).then((all) => all.map((one) => one.url))")
    assert all(url == server.address or url.startswith(f"{server.address}static/") for url in kept), "nothing that was said"
    names = {url.removeprefix(f"{server.address}static/") for url in kept} - {server.address}
    assert names == {file.name for file in PAGE.iterdir()} - {"index.html", "worker.js"}


def test_an_answer_can_be_stopped_while_it_goes_on(page: Browser, server: PageServer):
    server.state.script.extend([Reply("one", finish="length"), Reply(" two three", halfway=threading.Event())])
    ask(page, "Count")
    page.click(".go-on")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.click("#stop")
    page.wait("document.querySelector('.note')?.innerText === 'Stopped.'")
    assert page.texts(".answer") == ["one two"] and page.at(".go-on", "count") == 1
