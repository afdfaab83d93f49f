"""The routes of the API: OpenAI's, and this server's own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from youtu_onnx.core.machine import resident_bytes
from youtu_onnx.core.version import __version__
from youtu_onnx.serve.http import answers
from youtu_onnx.serve.http.answers import Described
from youtu_onnx.serve.http.bodies.chat_completion import ChatCompletion
from youtu_onnx.serve.http.bodies.own import Chat, Render
from youtu_onnx.serve.http.bodies.text_completion import TextCompletion
from youtu_onnx.serve.http.bundles import Bundles
from youtu_onnx.serve.http.chat_completions import complete_chat
from youtu_onnx.serve.http.metrics import CONTENT_TYPE
from youtu_onnx.serve.http.plain_chat import answer_chat
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.replies import Json
from youtu_onnx.serve.http.served_bundle import ServedBundle
from youtu_onnx.serve.http.text_completions import complete_text
from youtu_onnx.serve.text import markdown


def add_openai(app: FastAPI, bundles: Bundles) -> None:
    """``/v1``."""

    @app.get("/v1/models", response_model=answers.Models, responses=_only(401, 403, 500), tags=["OpenAI"])
    async def models() -> Response:
        """The served models, their context and sampling defaults; and each with each of its adapters."""
        return JSONResponse({"object": "list", "data": [_model(one, name) for one in bundles.all for name in one.names]})

    @app.get("/v1/models/{name:path}", response_model=answers.Model, responses=_only(400, 401, 403, 404, 500), tags=["OpenAI"])
    async def model(name: str) -> Response:
        """One model by its id."""
        return JSONResponse(_model(bundles.find(name), name))

    @app.post(
        "/v1/chat/completions",
        response_model=answers.ChatCompletion,
        tags=["OpenAI"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.STREAM}},
    )
    async def chat_completions(body: ChatCompletion, http: Request) -> Response:
        """A reply to a conversation. With `stream`, `chat.completion.chunk` events.

        Thinking comes apart from the answer, as `reasoning_content`. Stop strings and `response_format` are about the
        answer alone: the model may think before it as it likes.
        """
        return await complete_chat(await bundles.service(body.model, http.scope), body, http)

    @app.post(
        "/v1/completions",
        response_model=answers.TextCompletion,
        tags=["OpenAI"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.STREAM}},
    )
    async def text_completions(body: TextCompletion, http: Request) -> Response:
        """Text that goes on from a prompt, without the chat template. With `stream`, `text_completion` events."""
        return await complete_text(await bundles.service(body.model, http.scope), body, http)


def add_own(app: FastAPI, bundles: Bundles) -> None:
    """``/chat`` and ``/render``."""
    renderer = ThreadPoolExecutor(1, "markdown")  # its own: long texts keep nobody's prompt waiting for a thread

    @app.post(
        "/chat",
        response_model=answers.Chat,
        tags=["youtu-onnx"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.STREAM}},
    )
    async def plain_chat(body: Chat, http: Request) -> Response:
        """A reply to a prompt or a conversation.

        With `stream`, events of `{"thinking": …}` and `{"response": …}`, then `{"finish_reason": …}` and `{"usage": …}`.
        """
        return await answer_chat(await bundles.service(body.model, http.scope), body, http)

    @app.post("/render", response_model=answers.Rendered, responses=answers.ERRORS, tags=["youtu-onnx"])
    async def render(body: Render) -> Response:
        """Markdown as HTML that can run nothing, with formulas as MathML and code in pygments' classes."""
        limit = bundles.settings.markdown_limit
        if len(body.markdown) > limit:
            raise Problem(413, f"the text is longer than {limit} characters", param="markdown", code="body_too_large")
        made = await asyncio.get_running_loop().run_in_executor(renderer, markdown.render, body.markdown)
        return JSONResponse({"html": made})


def add_state(app: FastAPI, bundles: Bundles) -> None:
    """``/health`` and ``/metrics``."""

    @app.get(
        "/health",
        response_model=answers.Health,
        tags=["youtu-onnx"],
        responses=_only(403, 500) | {503: {"model": answers.Health, "description": "The server is about to stop."}},
    )
    async def health() -> Response:
        """Whether the server takes requests. Needs no key."""
        stats = bundles.stats()
        ok = stats.taking and not bundles.gate.draining
        return JSONResponse(
            {
                "status": "ok" if ok else "draining",
                "model": bundles.all[0].text.id,
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
        return Response(bundles.metrics.text(), media_type=CONTENT_TYPE)


def _model(one: ServedBundle, name: str) -> Json:
    text, length = one.text, one.context_length
    return {
        "id": name,
        "object": "model",
        "created": text.created,
        "owned_by": "youtu-onnx",
        **({} if name == text.id else {"parent": text.id}),
        "context_length": length,
        "max_model_len": length,
        "chat": text.template is not None,
        "tools": text.calls_tools and text.template is not None,
        "thinking_switch": text.thinking_switch,
        **({"steps": True} if one.steps else {}),
        "loaded": one.service is not None,
        "details": {
            "family": text.facts.family,
            "precision": text.facts.precision,
            "provider": text.facts.provider,
            "parameters": text.facts.parameters,
            "bytes": text.facts.nbytes,
            "memory_bytes": resident_bytes(),
            "version": __version__,
        },
        "defaults": {
            "temperature": text.sampling.effective_temperature,
            "top_p": text.sampling.top_p,
            "top_k": text.sampling.top_k,
            "min_p": text.sampling.min_p,
            "repetition_penalty": text.sampling.repetition_penalty,
            "max_tokens": text.max_tokens,
        },
    }


def _only(*statuses: int) -> Described:
    return {status: (answers.ERRORS | answers.BUSY)[status] for status in statuses}
