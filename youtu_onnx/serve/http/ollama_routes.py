"""The routes of Ollama's API, by which editors and Open WebUI find this server: replies, and what models there are."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from youtu_onnx.serve.http import answers, ollama, ollama_answers
from youtu_onnx.serve.http.bodies.ollama import OllamaChat, OllamaGenerate, OllamaShow
from youtu_onnx.serve.http.replies import Json
from youtu_onnx.serve.http.service import Service

VERSION = "0.12.0"
"""Of Ollama's API, as it is spoken here: clients ask whether it is new enough for tools and thinking."""

FOR_EVER = "2318-01-01T00:00:00Z"
"""When a model is unloaded that stays."""

LINES: Json = {200: {"content": {"application/x-ndjson": {"schema": {"description": "Unless stream is false: a line each."}}}}}
ERRORS = {
    status: {**described, "model": ollama_answers.OllamaError} for status, described in (answers.ERRORS | answers.BUSY).items()
}
FOUND = {status: ERRORS[status] for status in (401, 403, 500)}


def add_ollama(app: FastAPI, service: Service) -> None:
    """``/api``"""

    @app.post("/api/chat", response_model=ollama_answers.OllamaChatAnswer, tags=["Ollama"], responses=ERRORS | LINES)
    async def chat(body: OllamaChat, http: Request) -> Response:
        """A reply to a conversation, as lines of JSON unless `stream` is false."""
        return await ollama.chat(service, body, http)

    @app.post("/api/generate", response_model=ollama_answers.OllamaGenerated, tags=["Ollama"], responses=ERRORS | LINES)
    async def generate(body: OllamaGenerate, http: Request) -> Response:
        """A reply to a prompt, or with `raw` its continuation."""
        return await ollama.generate(service, body, http)

    @app.get("/api/tags", response_model=ollama_answers.OllamaModels, tags=["Ollama"], responses=FOUND)
    async def tags() -> Response:
        """The models that requests may name."""
        return JSONResponse({"models": [_model(service, name) for name in service.models.names]})

    @app.get("/api/ps", response_model=ollama_answers.OllamaRunning, tags=["Ollama"], responses=FOUND)
    async def running() -> Response:
        """The models that are loaded."""
        return JSONResponse({"models": [_running(service, service.models.base)]})

    @app.post("/api/show", response_model=ollama_answers.OllamaShown, tags=["Ollama"], responses=ERRORS)
    async def show(body: OllamaShow) -> Response:
        """What a model is and can."""
        service.models.ollama(body.model or body.name or "")
        return JSONResponse(_shown(service))

    @app.get("/api/version", response_model=ollama_answers.OllamaVersion, tags=["Ollama"], responses=FOUND)
    async def version() -> Response:
        """The version of Ollama's API that is spoken here."""
        return JSONResponse({"version": VERSION})


def _tagged(service: Service, name: str) -> str:
    return f"{name}:latest" if name == service.models.base else name


def _details(service: Service) -> Json:
    facts = service.text.facts
    return {
        "parent_model": "",
        "format": "onnx",
        "family": facts.family,
        "families": [facts.family],
        "parameter_size": f"{facts.parameters / 1e9:.1f}B" if facts.parameters >= 1e8 else f"{facts.parameters / 1e6:.1f}M",
        "quantization_level": facts.precision,
    }


def _model(service: Service, name: str) -> Json:
    text = service.text
    return {
        "name": _tagged(service, name),
        "model": _tagged(service, name),
        "modified_at": _created(service),
        "size": text.facts.nbytes,
        "digest": text.facts.digest,
        "details": _details(service),
    }


def _running(service: Service, name: str) -> Json:
    made = _model(service, name)
    del made["modified_at"]
    return {**made, "expires_at": FOR_EVER, "size_vram": 0, "context_length": service.engine.context_length}


def _shown(service: Service) -> Json:
    text, facts = service.text, service.text.facts
    chosen = text.sampling
    parameters = {
        "temperature": 0.0 if chosen.deterministic else chosen.temperature,
        "top_p": chosen.top_p,
        "top_k": chosen.top_k,
        "repeat_penalty": chosen.repetition_penalty,
        "num_ctx": service.engine.context_length,
        "num_predict": text.max_tokens,
    }
    can = {"tools": text.calls_tools and text.template is not None, "thinking": text.thinks and text.template is not None}
    return {
        "modelfile": f"FROM {text.id}",
        "parameters": "\n".join(f"{name} {value}" for name, value in parameters.items()),
        "template": "" if text.template is None else "{{ .Prompt }}",
        "modified_at": _created(service),
        "details": _details(service),
        "model_info": {
            "general.architecture": facts.family,
            "general.basename": text.id,
            "general.parameter_count": facts.parameters,
            f"{facts.family}.context_length": service.engine.context_length,
            f"{facts.family}.vocab_size": service.engine.vocab_size,
        },
        "capabilities": ["completion", *(name for name, there in can.items() if there)],
    }


def _created(service: Service) -> str:
    return datetime.fromtimestamp(service.text.created, UTC).isoformat().replace("+00:00", "Z")
