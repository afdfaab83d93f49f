"""A reply's steps and what layers kept of it: ``POST /explain``.

Whoever may ask the model may send any text here. So a text is bounded before anything reads it, verifiers are
(:mod:`youtu_onnx.problems.bounds`), one request is worked on at a time, by a thread of its own and with one of the processor's
cores, and few may wait.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from youtu_onnx.chat.opening import OpeningOptions
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.explain.explainer import Explainer
from youtu_onnx.explain.explanation import writes_steps
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.serve.http import answers, problems
from youtu_onnx.serve.http.bodies.own import Explain
from youtu_onnx.serve.http.bundles import Bundles
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.prompting import chat_prompt
from youtu_onnx.serve.http.replies import Json
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.text.model_text import ModelText

RETRY_SECONDS = 1


def explainer_of(bundle: Bundle, text: ModelText, provider: ProviderChoice) -> Explainer | None:
    """None where no verifier knows what the model writes, or it doesn't chat."""
    if not writes_steps(bundle) or text.template is None:
        return None
    return Explainer(bundle, text.tokenizer, OpeningOptions(provider, threads=1))


def add_explain(app: FastAPI, bundles: Bundles) -> None:
    worker = ThreadPoolExecutor(1, "explain")
    waiting = 0

    @app.post("/explain", response_model=answers.Explained, responses=answers.ERRORS | answers.BUSY, tags=["youtu-onnx"])
    async def explain(body: Explain, http: Request) -> Response:
        """The steps of a reply, each with whether its verifier finds it valid, and which tokens each layer kept.

        The model reads the reply, whoever wrote it; nothing is sampled.
        """
        nonlocal waiting
        service = await bundles.service(body.model, http.scope)
        explainer = _explainer(service, body)
        if waiting > service.settings.explain_queue:
            raise Problem(
                429, "too many replies wait to be explained", code="queue_full", headers={"Retry-After": str(RETRY_SECONDS)}
            )
        waiting += 1
        try:
            made = await asyncio.get_running_loop().run_in_executor(worker, _explained, service, explainer, body)
        finally:
            waiting -= 1
        return JSONResponse(made)


def _explainer(service: Service, body: Explain) -> Explainer:
    """What explains it.

    Raises:
        Problem: it can't be explained, or not by this server.
    """
    if service.draining:
        raise problems.draining()
    service.models.check(body.model)
    if service.explainer is None:
        raise Problem(400, f"no verifier knows what {service.text.id} writes", param="model", code="unsupported_field")
    limit = service.settings.explain_characters
    if len(body.thinking) + len(body.answer) > limit:
        raise Problem(413, f"thinking and answer are longer than {limit:,} characters", param="thinking", code="body_too_large")
    return service.explainer


def _explained(service: Service, explainer: Explainer, body: Explain) -> Json:
    adapter = service.models.active(body.model)
    prompt = chat_prompt(service, [message.for_template() for message in body.messages], body.enable_thinking)
    most = service.settings.explain_tokens
    found = explainer.explain(prompt, body.thinking, body.answer, most=most, adapter=adapter).to_dict()
    return {name: found[name] for name in ("steps", "tokens", "kept")}
