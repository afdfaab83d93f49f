"""The web page's files, at ``/`` and ``/static``, from memory: there are some seventy, and a visit asks for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from youtu_onnx.serve.http.problems import Problem

FOLDER = Path(__file__).parent.parent / "page"

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
"""Said here, because what systems believe of file names differs (a Windows registry may call scripts plain text)."""

WORKER = "worker.js"
"""The page's service worker, which may look after the page above its own folder."""

ENTRY = '<script type="module" '
"""Where ``index.html`` names the module from which the others are reached."""


@dataclass(frozen=True)
class PageFile:
    """What is answered for one file; browsers ask each time whether it changed."""

    content: bytes
    headers: dict[str, str]

    @staticmethod
    def of(name: str, content: bytes) -> PageFile:
        headers = {
            "content-type": KINDS[Path(name).suffix],
            "cache-control": "no-cache",
            "etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        }
        if name == WORKER:
            headers["service-worker-allowed"] = "../"
        return PageFile(content, headers)

    def answer(self, request: Request) -> Response:
        held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if self.headers["etag"] in held:
            return Response(status_code=304, headers=self.headers)
        return Response(self.content, headers=self.headers)


def add(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve ``index.html`` at the root and the folder's files of known types at ``/static``, as they are now."""
    if not (folder / "index.html").is_file():
        return
    contents = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix in KINDS and file.is_file()}
    files = {name: PageFile.of(name, content) for name, content in contents.items()}
    page = PageFile.of("index.html", _with_preloads(contents["index.html"].decode(), contents).encode())

    async def index(request: Request) -> Response:
        return page.answer(request)

    async def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            raise Problem(404, "no such file")
        return file.answer(request)

    app.add_route("/", index, include_in_schema=False)
    app.add_route("/static/{name:path}", static, include_in_schema=False)


def _with_preloads(index: str, names: Iterable[str]) -> str:
    """Every module is asked for at once. Else a browser finds them import by import, and waits for the network six times."""
    modules = [name for name in names if name.endswith(".js") and name != WORKER and f'<script src="static/{name}"' not in index]
    links = "".join(f'<link rel="modulepreload" href="static/{name}">\n  ' for name in modules)
    return index.replace(ENTRY, links + ENTRY)
