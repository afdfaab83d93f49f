"""Adapters loaded and unloaded while the server runs, from one folder that its operator named: ``/adapters``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import AdapterError, CheckpointError, UsageError
from youtu_onnx.families.adapters.choice import check_name
from youtu_onnx.runtimes.adapters import Adapters, UnknownAdapter
from youtu_onnx.serve.http import answers
from youtu_onnx.serve.http.bodies.own import LoadAdapter
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.replies import Json
from youtu_onnx.serve.http.service import Service


def add_adapters(app: FastAPI, service: Service, folder: Path, adapters: Adapters) -> None:
    """``folder``: where adapters lie, each in a folder, or a file in ONNX Runtime's format, of its name."""

    @app.get("/adapters", response_model=answers.Adapters, responses=_errors(401, 403, 500), tags=["youtu-onnx"])
    async def listed() -> Response:
        """The adapters that requests may name, as `MODEL:ADAPTER`."""
        return JSONResponse(_listed(service))

    @app.post("/adapters", response_model=answers.Adapters, responses=answers.ERRORS, tags=["youtu-onnx"])
    async def load(body: LoadAdapter) -> Response:
        """Load an adapter from the server's folder, in the place of one of the same name. Replies that have begun go on with the
        one that they began with."""
        try:
            check_name(body.name)
            await asyncio.to_thread(adapters.load, body.name, _place(folder, body.name))
        except (AdapterError, CheckpointError, UsageError) as error:
            raise Problem(400, error.message, param="name", code="adapter_refused") from error
        service.engine.adapters_changed()
        return JSONResponse(_listed(service))

    @app.delete("/adapters/{name}", response_model=answers.Adapters, responses=answers.ERRORS, tags=["youtu-onnx"])
    async def unload(name: str) -> Response:
        """Unload an adapter. Replies that have begun end with it; then its memory is free."""
        try:
            adapters.unload(name)
        except UnknownAdapter as error:
            raise Problem(404, error.message, param="name", code="adapter_not_found") from error
        service.engine.adapters_changed()
        return JSONResponse(_listed(service))


def _place(folder: Path, name: str) -> Path:
    """
    Raises:
        UsageError: nothing of this name is there.
    """
    for place in (folder / name, folder / f"{name}{names.ADAPTER_SUFFIX}"):
        if place.exists():
            return place
    raise UsageError(f"the server's folder of adapters has no {name}")


def _listed(service: Service) -> Json:
    base, *others = service.models.names
    return {"adapters": [{"name": one.removeprefix(f"{base}:"), "model": one} for one in others]}


def _errors(*statuses: int) -> dict[int | str, Json]:
    return {status: answers.ERRORS[status] for status in statuses}
