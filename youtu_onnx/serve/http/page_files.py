"""The web page's files, at ``/`` and ``/static``."""

from __future__ import annotations

from os import PathLike, stat_result
from pathlib import Path, PurePath

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

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


class PageFiles(StaticFiles):
    """Files with content types of this list; others are not served."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            message = "no such file" if error.status_code == 404 else "a file is there to be read: GET or HEAD it"
            raise Problem(error.status_code, message, headers=error.headers) from error

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        kind = KINDS.get(PurePath(full_path).suffix)
        if kind is None:
            raise Problem(404, "no such file")
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["content-type"] = kind
        response.headers["cache-control"] = "no-cache"
        if PurePath(full_path).name == WORKER:
            response.headers["service-worker-allowed"] = "../"
        return response


def add(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve ``index.html`` at the root and the folder at ``/static``."""
    if not (folder / "index.html").is_file():
        return

    async def index(request: Request) -> Response:
        return FileResponse(folder / "index.html", media_type=KINDS[".html"], headers={"cache-control": "no-cache"})

    app.add_route("/", index, include_in_schema=False)
    app.mount("/static", PageFiles(directory=folder), name="static")
