"""The routes of Ollama's API, by which editors and Open WebUI find this server: replies, and what models there are."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from youtu_onnx.serve.http import answers, ollama, ollama_answers
from youtu_onnx.serve.http.answers import Described
from youtu_onnx.serve.http.bodies.ollama import OllamaChat, OllamaGenerate, OllamaShow
from youtu_onnx.serve.http.bundles import Bundles
from youtu_onnx.serve.http.replies import Json
from youtu_onnx.serve.http.served_bundle import ServedBundle

VERSION = "0.12.0"
"""Of Ollama's API, as it is spoken here: clients ask whether it is new enough for tools and thinking."""

FOR_EVER = "2318-01-01T00:00:00Z"
"""When a model is unloaded that stays."""

LINES: Described = {
    200: {"content": {"application/x-ndjson": {"schema": {"description": "Unless stream is false: a line each."}}}}
}
ERRORS: Described = {
    status: {**described, "model": ollama_answers.OllamaError} for status, described in (answers.ERRORS | answers.BUSY).items()
}
FOUND: Described = {status: ERRORS[status] for status in (401, 403, 500)}


def add_ollama(app: FastAPI, bundles: Bundles) -> None:
    """``/api``"""

    @app.post("/api/chat", response_model=ollama_answers.OllamaChatAnswer, tags=["Ollama"], responses=ERRORS | LINES)
    async def chat(body: OllamaChat, http: Request) -> Response:
        """A reply to a conversation, as lines of JSON unless `stream` is false."""
        _, name = bundles.find_ollama(body.model)
        return await ollama.chat(await bundles.service(name, http.scope), name, body, http)

    @app.post("/api/generate", response_model=ollama_answers.OllamaGenerated, tags=["Ollama"], responses=ERRORS | LINES)
    async def generate(body: OllamaGenerate, http: Request) -> Response:
        """A reply to a prompt, or with `raw` its continuation."""
        _, name = bundles.find_ollama(body.model)
        return await ollama.generate(await bundles.service(name, http.scope), name, body, http)

    @app.get("/api/tags", response_model=ollama_answers.OllamaModels, tags=["Ollama"], responses=FOUND)
    async def tags() -> Response:
        """The models that requests may name."""
        return JSONResponse({"models": [_model(one, name) for one in bundles.all for name in one.names]})

    @app.get("/api/ps", response_model=ollama_answers.OllamaRunning, tags=["Ollama"], responses=FOUND)
    async def running() -> Response:
        """The models that are loaded."""
        return JSONResponse({"models": [_running(one) for one in bundles.all if one.service is not None]})

    @app.post("/api/show", response_model=ollama_answers.OllamaShown, tags=["Ollama"], responses=ERRORS)
    async def show(body: OllamaShow) -> Response:
        """What a model is and can."""
        one, _ = bundles.find_ollama(body.model or body.name or "")
        return JSONResponse(_shown(one))

    @app.get("/api/version", response_model=ollama_answers.OllamaVersion, tags=["Ollama"], responses=FOUND)
    async def version() -> Response:
        """The version of Ollama's API that is spoken here."""
        return JSONResponse({"version": VERSION})


def _tagged(one: ServedBundle, name: str) -> str:
    return f"{name}:latest" if name == one.text.id else name


def _details(one: ServedBundle) -> Json:
    facts = one.text.facts
    return {
        "parent_model": "",
        "format": "onnx",
        "family": facts.family,
        "families": [facts.family],
        "parameter_size": f"{facts.parameters / 1e9:.1f}B" if facts.parameters >= 1e8 else f"{facts.parameters / 1e6:.1f}M",
        "quantization_level": facts.precision,
    }


def _model(one: ServedBundle, name: str) -> Json:
    text = one.text
    return {
        "name": _tagged(one, name),
        "model": _tagged(one, name),
        "modified_at": _created(one),
        "size": text.facts.nbytes,
        "digest": text.facts.digest,
        "details": _details(one),
    }


def _running(one: ServedBundle) -> Json:
    made = _model(one, one.text.id)
    del made["modified_at"]
    return {**made, "expires_at": FOR_EVER, "size_vram": 0, "context_length": one.context_length}


def _shown(one: ServedBundle) -> Json:
    text, facts = one.text, one.text.facts
    chosen = text.sampling
    parameters = {
        "temperature": chosen.effective_temperature,
        "top_p": chosen.top_p,
        "top_k": chosen.top_k,
        "repeat_penalty": chosen.repetition_penalty,
        "num_ctx": one.context_length,
        "num_predict": text.max_tokens,
    }
    can = {"tools": text.calls_tools and text.template is not None, "thinking": text.thinks and text.template is not None}
    return {
        "modelfile": f"FROM {text.id}",
        "parameters": "\n".join(f"{name} {value}" for name, value in parameters.items()),
        "template": "" if text.template is None else "{{ .Prompt }}",
        "modified_at": _created(one),
        "details": _details(one),
        "model_info": {
            "general.architecture": facts.family,
            "general.basename": text.id,
            "general.parameter_count": facts.parameters,
            f"{facts.family}.context_length": one.context_length,
            f"{facts.family}.vocab_size": one.text.facts.vocab_size,
        },
        "capabilities": ["completion", *(name for name, there in can.items() if there)],
    }


def _created(one: ServedBundle) -> str:
    return datetime.fromtimestamp(one.text.created, UTC).isoformat().replace("+00:00", "Z")
