"""Doing on the page what a person does, and texts that answers have."""

from __future__ import annotations

from typing import Any

from tests.browser import Browser
from tests.serve.page.page_server import PageServer

CODE = """Look:

```python
def f(x):  # twice
    return 2.5 * x if x else 'none'
```

and $x^2$ and

| a | b |
|--|--:|
| 1 | [2](https://example.org/) |
"""
HOSTILE = """<p onclick="boom()" style="color:red">text<script>boom()</script><img src=x onerror="boom()" alt="a picture">
<a href="javascript:boom()">one</a> <a href=" java\nscript:boom()">two</a>
<a href="data:text/html,<script>boom()</script>">three</a>
<a href="https://example.org/" onclick="boom()" target="_self">four</a> <a href="/v1/models">five</a>
<iframe srcdoc="<script>parent.boom()</script>"></iframe>
<svg><script>boom()</script><a href="javascript:boom()"><text>x</text></a></svg>
<math><mtext><style>*{}</style></mtext>
<annotation-xml encoding="text/html"><img src=x onerror=boom()></annotation-xml>
<mi href="javascript:boom()" onclick="boom()">m</mi></math>
<form action="/x"><input name=q><button formaction="javascript:boom()">go</button></form>
<details open ontoggle="boom()">d</details><span class="danger-button" id="text">s</span><base href="https://example.org/">
<meta http-equiv="refresh" content="0;url=https://example.org/"><link rel="stylesheet" href="https://example.org/x.css"></p>"""
ALLOWED_FAULTS = ("Failed to load resource",)  # Chromium's own words about a status of 4xx and 5xx, or no connection
PARSED_FAULTS = ("Executing inline event handler", "Applying inline style", "Setting the document's base URI")
"""The policy speaks up while hostile HTML is parsed, in a document that is never shown."""


def visit(tab: Browser, server: PageServer, **options: Any) -> None:
    tab.open(server.address, **options)
    ready(tab)


def ready(page: Browser) -> None:
    page.wait("document.documentElement.dataset.ready && document.querySelector('.model-name, #model, #banner:not([hidden])')")


def ask(page: Browser, text: str) -> None:
    """Send, and wait for the end of the answer."""
    answers = page.at(".assistant", "count")
    page.fill("#text", text)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('.assistant').length === {answers + 1}")
    done(page)


def done(page: Browser) -> None:
    page.wait("document.querySelector('#stop').hidden && document.querySelector('.assistant:last-child[aria-busy=false]')")


def contents(server: PageServer, index: int = -1) -> list[str]:
    return [message["content"] for message in server.state.requests[index]["messages"]]
