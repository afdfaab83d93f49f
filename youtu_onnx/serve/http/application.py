"""The HTTP application over an engine: routes, their description, and what stands before them."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from youtu_onnx.core.version import __version__
from youtu_onnx.explain.explainer import Explainer
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.http import (
    adapter_routes,
    documentation,
    explain_route,
    ollama_routes,
    page_files,
    problems,
    response_routes,
    routes,
)
from youtu_onnx.serve.http.guard import Guard
from youtu_onnx.serve.http.metrics import CountRequests, Metrics
from youtu_onnx.serve.http.origins import CrossOrigin
from youtu_onnx.serve.http.paths import Paths
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.reading import JsonRoute
from youtu_onnx.serve.http.request_log import LogRequests
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

DESCRIPTION = """Youtu-LLM on ONNX Runtime. `/v1` is OpenAI's API, for clients that know it; `/chat` is a smaller one.

Fields that are unknown or unsupported are refused by name; those of messages that say nothing to the model are passed over.
Errors are `{"error": {"message", "type", "param", "code"}}`.
"""


def application(
    engine: Engine,
    *,
    text: ModelText,
    settings: Settings | None = None,
    metrics: Metrics | None = None,
    explainer: Explainer | None = None,
    logged: Callable[[str], None] | None = None,
) -> FastAPI:
    """A FastAPI application that answers from an engine, and explains replies where there is something to do so.

    ``logged``: takes a line for each answered request, where ``settings.log_requests``.
    ``service_of(app).draining = True`` makes it refuse new work and say so at ``/health``.
    """
    settings = settings or Settings()
    metrics = metrics or Metrics(engine)
    service = Service(engine, text, settings, metrics, explainer)
    app = FastAPI(
        title="youtu-onnx serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # Paths takes them away
        exception_handlers=dict.fromkeys((Problem, RequestValidationError, HTTPException), problems.respond),
    )
    app.state.service = service
    app.router.route_class = JsonRoute
    routes.add_openai(app, service)
    response_routes.add_responses(app, service)
    ollama_routes.add_ollama(app, service)
    routes.add_own(app, service)
    routes.add_state(app, service)
    if settings.adapters is not None and engine.adapters is not None:
        adapter_routes.add_adapters(app, service, settings.adapters, engine.adapters)
    if explainer is not None:
        explain_route.add_explain(app, service, explainer)
    documentation.add(app)
    page_files.add(app)
    app.add_middleware(Guard, settings=settings, routes=app.routes)
    if settings.cors_origins:
        app.add_middleware(CrossOrigin, origins=settings.cors_origins)
    app.add_middleware(CountRequests, metrics=metrics)
    if settings.log_requests and logged is not None:
        app.add_middleware(LogRequests, told=logged)
    app.add_middleware(Paths)
    documentation.describe(app)
    return app
