"""Several tabs on one conversation: what each writes is kept, and each sees what the others wrote."""

from __future__ import annotations

import threading
from typing import Any

from tests.browser import Browser
from tests.serve.page.driving import ask, contents, done, ready
from tests.serve.page.page_server import PageServer, Reply

MERGED = """(async () => {
  const { merge, snapshot, become } = await import('./static/merging.js');
  const tree = await import('./static/conversation.js');
  const one = tree.create();
  const first = tree.add(one, null, { role: 'user', text: 'one' });
  const second = tree.add(one, first.id, { role: 'assistant', text: 'half' });
  const base = snapshot(one);
  const [mine, theirs] = [structuredClone(one), structuredClone(one)];
  %s
  const made = merge(base, mine, theirs);
  become(mine, made);
  return { texts: tree.path(made).map((node) => node.text), title: made.title, nodes: Object.keys(made.nodes).length,
    same: ['nodes', 'children', 'chosen', 'title']
      .every((part) => JSON.stringify(mine[part]) === JSON.stringify(made[part])), versions: made.children.root.length };
})()"""


def merged(page: Browser, change: str) -> Any:
    return page.js(MERGED % change)


def test_changes_of_both_are_brought_together(page: Browser):
    both = merged(
        page,
        "mine.nodes[second.id].text = 'whole'; theirs.title = 'Theirs'; theirs.named = true;"
        "tree.add(theirs, second.id, { role: 'user', text: 'two' });",
    )
    assert both == {"texts": ["one", "whole", "two"], "title": "Theirs", "nodes": 3, "same": True, "versions": 1}
    twice = merged(
        page, "tree.add(mine, null, { role: 'user', text: 'A' }); tree.add(theirs, null, { role: 'user', text: 'B' });"
    )
    assert twice["nodes"] == 4 and twice["versions"] == 3 and twice["texts"] == ["A"], "nothing is lost, and here mine is shown"
    for removed, changed in (("mine", "theirs"), ("theirs", "mine")):
        gone = merged(
            page, f"tree.remove({removed}, second.id); tree.add({changed}, second.id, {{ role: 'user', text: 'two' }});"
        )
        assert gone["texts"] == ["one"] and gone["nodes"] == 1, "what hung on it goes, too"
    back = merged(page, "tree.putBack(mine, tree.remove(mine, first.id));")
    assert back["texts"] == ["one", "half"] and back["same"]


def test_a_message_of_another_tab_waits_for_the_whole_answer(page: Browser, server: PageServer):
    first, second = threading.Event(), threading.Event()
    server.state.script.extend([Reply("one two three four", halfway=first), Reply("five six", halfway=second)])
    page.fill("#text", "Count")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.wait("location.hash")
    page.another(page.js("location.href"))
    ready(page)
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    assert page.texts(".note") == [], "it isn't interrupted: the other tab writes it"
    page.fill("#text", "Go on")
    page.press("Enter")
    page.wait("document.querySelector('.assistant:last-child .sign')?.innerText.includes('another tab')")
    assert len(server.state.requests) == 1
    first.set()
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'five'")
    assert contents(server) == ["Count", "one two three four", "Go on"]
    page.turn(0)
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'five'")
    second.set()
    for index in (0, 1):
        page.turn(index)
        page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'five six'")
        done(page)
        page.page("reload")
        ready(page)
        page.wait("document.querySelectorAll('.answer').length === 2")
        assert page.texts(".answer") == ["one two three four", "five six"] and page.texts(".note") == []


def test_messages_sent_from_two_tabs_at_once_are_versions(page: Browser, server: PageServer):
    ask(page, "Hello")
    page.another(page.js("location.href"))
    ready(page)
    gate = threading.Event()
    server.state.script.extend([Reply("A and more", halfway=gate), Reply("B")])
    page.js("BroadcastChannel.prototype.postMessage = () => {}")  # what this tab does, the other hears of late
    page.fill("#text", "Here")
    page.press("Enter")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'A and'")
    page.turn(0)
    page.fill("#text", "There")
    page.press("Enter")
    page.wait("document.querySelector('.assistant:last-child .sign')?.innerText.includes('another tab')")
    gate.set()
    done(page)
    assert contents(server) == ["Hello", "Well.", "There"]
    page.wait("document.querySelectorAll('.user .versions').length === 1")
    page.page("reload")
    ready(page)
    assert page.texts(".user .versions") == ["2/2"] and page.texts(".answer") == ["Well.", "B"]
    page.click(".user [aria-label='Earlier version']")
    page.wait("document.querySelectorAll('.answer')[1]?.innerText === 'A and more'")


def test_an_answer_ends_where_its_conversation_is_deleted_elsewhere(page: Browser, server: PageServer):
    server.state.script.append(Reply("one two three four", halfway=threading.Event()))
    page.fill("#text", "Count")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.another(page.js("location.href"))
    ready(page)
    page.click("#actions")
    page.click("#menu button:has-text('Delete')")
    page.wait("document.querySelectorAll('#conversations .open').length === 0")
    page.turn(0)
    page.wait("document.querySelector('#empty').checkVisibility()")
    page.wait("document.querySelectorAll('#conversations .open').length === 0")
    page.page("waitForTimeout", 600)  # it would have been saved again meanwhile
    page.page("reload")
    ready(page)
    assert page.texts("#conversations .open") == [] and server.state.cancelled == 1


def test_an_answer_is_interrupted_once_its_tab_is_closed(page: Browser, server: PageServer):
    server.state.script.append(Reply("one two three four", halfway=threading.Event()))
    page.fill("#text", "Count")
    page.press("Enter")
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")
    page.another(page.js("location.href"))
    ready(page)
    page.wait("document.querySelector('.answer')?.innerText === 'one two'")  # a tab saves a few times a second
    page.turn(0)
    page.page("close")
    page.turn(1)
    page.wait("document.querySelector('.note')?.innerText.includes('was closed')")
    assert page.texts(".answer") == ["one two"]
