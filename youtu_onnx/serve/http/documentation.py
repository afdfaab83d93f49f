"""The API's description, and ``/docs``: Swagger UI over it, from files on this machine alone.

The files come with fastapi-offline, which is kept up to date; swagger-ui-bundle's are of 2022. Its page isn't used: that
has a script in it, which this server's content policy forbids.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>youtu-onnx serve: the API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """"use strict";
SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});
"""
FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def add(app: FastAPI) -> None:
    """Add the page and its files to an application."""
    folder = resources.files("fastapi_offline") / "static"

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def start(request: Request) -> Response:
        return Response(START, media_type="text/javascript")

    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/start.js", start, include_in_schema=False)
    for name, kind in FILES.items():
        app.add_route(f"/docs/{name}", _file(str(folder / name), kind), include_in_schema=False)


def describe(app: FastAPI) -> None:
    """FastAPI describes validation errors as 422; here they are 400s. And keys, where they are needed."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = made()
            for path, methods in described["paths"].items():
                for method in methods.values():
                    method["responses"].pop("422", None)
                    if path != "/health":
                        method["security"] = [{"key": []}, {}]
            schemas = described["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            described["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            app.openapi_schema = described
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _file(path: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return FileResponse(path, media_type=kind)

    return send
