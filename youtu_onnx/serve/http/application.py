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
from youtu_onnx.serve.http.bundles import Bundles, Holds
from youtu_onnx.serve.http.guard import Guard
from youtu_onnx.serve.http.metrics import CountRequests, Metrics
from youtu_onnx.serve.http.origins import CrossOrigin
from youtu_onnx.serve.http.paths import Paths
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.reading import JsonRoute
from youtu_onnx.serve.http.request_log import LogRequests
from youtu_onnx.serve.http.served_bundle import Opened, ServedBundle
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

    ``logged``: as :func:`application_of` has it.
    """
    one = ServedBundle(
        text, lambda: Opened(engine, explainer), expected_context=engine.context_length, steps=explainer is not None
    )
    bundles = Bundles([one], settings or Settings(), metrics=metrics or Metrics(engine))
    bundles.load(one)
    return application_of(bundles, logged=logged)


def application_of(bundles: Bundles, *, logged: Callable[[str], None] | None = None) -> FastAPI:
    """A FastAPI application that answers with bundles.

    ``bundles_of(app).gate.draining = True`` makes it refuse new work and say so at ``/health``.

    Args:
        logged: takes a line for each answered request, where the settings say ``log_requests``.
    """
    settings = bundles.settings
    app = FastAPI(
        title="youtu-onnx serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # Paths takes them away
        exception_handlers=dict.fromkeys((Problem, RequestValidationError, HTTPException), problems.respond),
    )
    app.state.bundles = bundles
    app.router.route_class = JsonRoute
    routes.add_openai(app, bundles)
    response_routes.add_responses(app, bundles)
    ollama_routes.add_ollama(app, bundles)
    routes.add_own(app, bundles)
    routes.add_state(app, bundles)
    alone = bundles.all[0].service if len(bundles.all) == 1 else None
    if settings.adapters is not None and alone is not None and alone.engine.adapters is not None:
        adapter_routes.add_adapters(app, alone, settings.adapters, alone.engine.adapters)
    if any(one.steps for one in bundles.all):
        explain_route.add_explain(app, bundles)
    documentation.add(app)
    page_files.add(app)
    app.add_middleware(Holds)
    app.add_middleware(Guard, settings=settings, routes=app.routes)
    if settings.cors_origins:
        app.add_middleware(CrossOrigin, origins=settings.cors_origins)
    app.add_middleware(CountRequests, metrics=bundles.metrics)
    if settings.log_requests and logged is not None:
        app.add_middleware(LogRequests, told=logged)
    app.add_middleware(Paths)
    documentation.describe(app)
    return app
