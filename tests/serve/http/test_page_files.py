"""The page's files: their types, what a browser asks for at once, and what it need not fetch twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from youtu_onnx.serve.http import page_files
from youtu_onnx.serve.http.problems import Problem


def client_of(folder: Path = page_files.FOLDER) -> TestClient:
    app = FastAPI()
    page_files.add(app, folder)
    return TestClient(app)


def test_files_have_their_types(tmp_path: Path) -> None:
    for name in ("index.html", "page.js", "style.css", "logo.svg", "notes.py"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    client = client_of(tmp_path)
    paths = ("/", "/static/page.js", "/static/style.css", "/static/logo.svg")
    assert {path: client.get(path).headers["content-type"] for path in paths} == {
        "/": "text/html; charset=utf-8",
        "/static/page.js": "text/javascript; charset=utf-8",
        "/static/style.css": "text/css; charset=utf-8",
        "/static/logo.svg": "image/svg+xml",
    }
    for path in ("/static/notes.py", "/static/none.js", "/static/..%2Findex.html", "/static/"):
        with pytest.raises(Problem, match="no such file"):
            client.get(path)


def test_there_is_no_page_where_its_folder_is_empty(tmp_path: Path) -> None:
    assert client_of(tmp_path).get("/").status_code == 404


def test_the_worker_may_look_after_the_page() -> None:
    client = client_of()
    worker = client.get("/static/worker.js")
    assert worker.headers["service-worker-allowed"] == "../" and worker.headers["content-type"].startswith("text/javascript")
    assert "service-worker-allowed" not in client.get("/static/app.js").headers
    assert client.get("/static/manifest.webmanifest").headers["content-type"] == "application/manifest+json"


@pytest.mark.parametrize("path", ["/", "/static/app.js"])
def test_a_file_that_a_browser_has_is_not_sent_again(path: str) -> None:
    client = client_of()
    whole = client.get(path)
    assert whole.headers["cache-control"] == "no-cache"  # it asks, each time
    tag = whole.headers["etag"]
    for held in (tag, f"W/{tag}", f'"other", {tag}'):
        again = client.get(path, headers={"if-none-match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"if-none-match": '"other"'}).content == whole.content


def test_every_module_is_asked_for_at_once() -> None:
    index = client_of().get("/").text
    preloaded = set(re.findall(r'<link rel="modulepreload" href="static/([^"]*)">', index))
    scripts = {file.name for file in page_files.FOLDER.glob("*.js")}
    assert preloaded == scripts - {"worker.js", "theme.js"}, "theme.js is a script of its own, before the page is drawn"
    assert index.index("modulepreload") < index.index('<script type="module"')
