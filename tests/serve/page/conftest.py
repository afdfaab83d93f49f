"""The server's page in headless Chromium, against a real HTTP server whose answers and faults the tests script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import Browser, browser
from tests.consumers.javascript.pages import chromium
from tests.consumers.javascript.workshop import workshop
from tests.serve.page.driving import ALLOWED_FAULTS, PARSED_FAULTS, visit
from tests.serve.page.page_server import PageServer, Scripted, serving


@pytest.fixture(scope="session")
def tab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium()
    with browser(workshop(request.config, tmp_path_factory.mktemp("page"))) as opened:
        yield opened


@pytest.fixture(scope="session")
def running() -> Iterator[PageServer]:
    with serving() as server:
        yield server


@pytest.fixture
def server(running: PageServer) -> PageServer:
    running.state = Scripted()
    return running


@pytest.fixture
def page(request: pytest.FixtureRequest, server: PageServer, tab: Browser) -> Iterator[Browser]:
    """The page as a new visitor gets it. Whatever a test does, no other host is asked and no script fails."""
    visit(tab, server)
    yield tab
    seen = tab.seen()
    assert seen["hosts"] == [server.address.split("/")[2]]
    allowed = ALLOWED_FAULTS + (PARSED_FAULTS if request.node.name.endswith("[from render]") else ())
    assert [fault for fault in seen["faults"] if not fault.startswith(allowed)] == []
