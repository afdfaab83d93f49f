"""The HTTP application over an engine: routes, their description, and what stands before them."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from youtu_onnx.core.version import __version__
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.http import documentation, page_files, problems, routes
from youtu_onnx.serve.http.guard import Guard
from youtu_onnx.serve.http.metrics import CountRequests, Metrics
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text.model_text import ModelText

DESCRIPTION = """Youtu-LLM on ONNX Runtime. `/v1` is OpenAI's API, for clients that know it; `/chat` is a smaller one.

Unknown and unsupported fields are refused by name. Errors are `{"error": {"message", "type", "param", "code"}}`.
"""


def application(engine: Engine, *, text: ModelText, settings: Settings | None = None, metrics: Metrics | None = None) -> FastAPI:
    """A FastAPI application that answers from an engine.

    ``service_of(app).draining = True`` makes it refuse new work and say so at ``/health``.
    """
    settings = settings or Settings()
    metrics = metrics or Metrics(engine)
    service = Service(engine, text, settings, metrics)
    app = FastAPI(
        title="youtu-onnx serve",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        exception_handlers=dict.fromkeys((Problem, RequestValidationError, HTTPException), problems.respond),
    )
    app.state.service = service
    routes.add_openai(app, service)
    routes.add_own(app, service)
    routes.add_state(app, service)
    documentation.add(app)
    page_files.add(app)
    app.add_middleware(Guard, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(CountRequests, metrics=metrics)
    documentation.describe(app)
    return app
