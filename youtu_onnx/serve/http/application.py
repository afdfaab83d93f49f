"""The HTTP application over an engine: routes, their description, and what stands before them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from youtu_onnx.core.version import __version__
from youtu_onnx.serve.engine.engine import Engine
from youtu_onnx.serve.http import answers, chat, completions, documentation, page_files, problems, requests
from youtu_onnx.serve.http.guard import Guard
from youtu_onnx.serve.http.metrics import CONTENT_TYPE, CountRequests, Metrics
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.http.settings import Settings
from youtu_onnx.serve.text import markdown
from youtu_onnx.serve.text.model_text import ModelText

DESCRIPTION = """Youtu-LLM on ONNX Runtime. `/v1` is OpenAI's API, for clients that know it; `/chat` is a smaller one.

Unknown and unsupported fields are refused by name. Errors are `{"error": {"message", "type", "param", "code"}}`.
"""


def application(engine: Engine, *, text: ModelText, settings: Settings | None = None, metrics: Metrics | None = None) -> FastAPI:
    """A FastAPI application that answers from an engine.

    ``app.state.service.draining = True`` makes it refuse new work and say so at ``/health``.
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
        exception_handlers={kind: problems.respond for kind in (Problem, RequestValidationError, HTTPException)},
    )
    app.state.service = service
    _add_openai(app, service)
    _add_own(app, service)
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
    _describe(app)
    return app


def _add_openai(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", response_model=answers.Models, responses=_only(401, 403, 500), tags=["OpenAI"])
    async def models() -> Response:
        """The served model, its context, and its sampling defaults."""
        return JSONResponse({"object": "list", "data": [_model(service)]})

    @app.get("/v1/models/{name:path}", response_model=answers.Model, responses=_only(400, 401, 403, 404, 500), tags=["OpenAI"])
    async def model(name: str) -> Response:
        """One model by its id."""
        service.check_model(name)
        return JSONResponse(_model(service))

    @app.post(
        "/v1/chat/completions",
        response_model=answers.ChatCompletion,
        tags=["OpenAI"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.STREAM}},
    )
    async def chat_completions(body: requests.ChatCompletion, http: Request) -> Response:
        """A reply to a conversation. With `stream`, `chat.completion.chunk` events.

        Thinking comes apart from the answer, as `reasoning_content`. Stop strings and `response_format` are about the
        answer alone: the model may think before it as it likes.
        """
        return await chat.complete(service, body, http)

    @app.post(
        "/v1/completions",
        response_model=answers.TextCompletion,
        tags=["OpenAI"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.STREAM}},
    )
    async def text_completions(body: requests.TextCompletion, http: Request) -> Response:
        """Text that goes on from a prompt, without the chat template. With `stream`, `text_completion` events."""
        return await completions.complete(service, body, http)


def _add_own(app: FastAPI, service: Service) -> None:
    renderer = ThreadPoolExecutor(1, "markdown")  # its own: long texts keep nobody's prompt waiting for a thread

    @app.post(
        "/chat",
        response_model=answers.Chat,
        tags=["youtu-onnx"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.STREAM}},
    )
    async def plain_chat(body: requests.Chat, http: Request) -> Response:
        """A reply to a prompt or a conversation.

        With `stream`, events of `{"thinking": …}` and `{"response": …}`, then `{"finish_reason": …}` and `{"usage": …}`.
        """
        return await chat.chat(service, body, http)

    @app.post("/render", response_model=answers.Rendered, responses=answers.ERRORS, tags=["youtu-onnx"])
    async def render(body: requests.Render) -> Response:
        """Markdown as HTML that can run nothing, with formulas as MathML and code in pygments' classes."""
        limit = service.settings.markdown_limit
        if len(body.markdown) > limit:
            raise Problem(413, f"the text is longer than {limit} characters", param="markdown", code="body_too_large")
        made = await asyncio.get_running_loop().run_in_executor(renderer, markdown.render, body.markdown)
        return JSONResponse({"html": made})

    @app.get(
        "/health",
        response_model=answers.Health,
        tags=["youtu-onnx"],
        responses=_only(403, 500) | {503: {"model": answers.Health, "description": "The server is about to stop."}},
    )
    async def health() -> Response:
        """Whether the server takes requests. Needs no key."""
        stats = service.engine.stats()
        ok = stats.taking and not service.draining
        return JSONResponse(
            {
                "status": "ok" if ok else "draining",
                "model": service.text.id,
                "queued": stats.queued,
                "running": stats.running,
                "places": stats.places,
            },
            200 if ok else 503,
        )

    @app.get(
        "/metrics",
        tags=["youtu-onnx"],
        response_class=Response,
        responses=_only(401, 403, 500) | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def prometheus() -> Response:
        """Prometheus metrics."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _model(service: Service) -> dict[str, Any]:
    text, length = service.text, service.engine.context_length
    return {
        "id": text.id,
        "object": "model",
        "created": text.created,
        "owned_by": "youtu-onnx",
        "context_length": length,
        "max_model_len": length,
        "chat": text.template is not None,
        "tools": text.calls_tools and text.template is not None,
        "thinking_switch": text.thinking_switch,
        "defaults": {
            "temperature": 0.0 if text.sampling.deterministic else text.sampling.temperature,
            "top_p": text.sampling.top_p,
            "top_k": text.sampling.top_k,
            "repetition_penalty": text.sampling.repetition_penalty,
            "max_tokens": text.max_tokens,
        },
    }


def _only(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: (answers.ERRORS | answers.BUSY)[status] for status in statuses}


def _describe(app: FastAPI) -> None:
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
