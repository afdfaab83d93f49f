"""What goes wrong, in the shape of OpenAI's errors: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from youtu_onnx.core.errors import UsageError, YoutuOnnxError
from youtu_onnx.serve.engine.engine import Busy, Draining

log = logging.getLogger("youtu_onnx.serve")

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
DRAIN_RETRY_SECONDS = 5
OLLAMA = "/api/"
"""How paths of Ollama's API begin."""


class Problem(Exception):
    """A request that gets an error for an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, dict(headers or {})

    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self, path: str = "") -> JSONResponse:
        """``path``: that was asked for; Ollama's API has errors of its own shape."""
        body = {"error": self.message} if path.startswith(OLLAMA) else self.body()
        return JSONResponse(body, self.status, headers=self.headers)


def of(error: Exception) -> Problem:
    """What a client is told of an error. What is nobody's mistake but ours goes to the log, and not to the client."""
    match error:
        case Problem():
            return error
        case Busy():
            return Problem(429, str(error), code="queue_full", headers={"Retry-After": str(max(1, math.ceil(error.retry_after)))})
        case Draining():
            return draining()
        case UsageError():
            return Problem(400, error.message if error.hint is None else f"{error.message}; {error.hint}")
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return Problem(error.status_code, str(error.detail), headers=error.headers)
        case YoutuOnnxError():
            log.error("%s", error)
            return Problem(500, error.message, code="engine_error")
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    return Problem(500, "the server failed; its log says more", code="internal_error")


def draining() -> Problem:
    return Problem(
        503,
        "the server is about to stop and takes no more requests",
        code="draining",
        headers={"Retry-After": str(DRAIN_RETRY_SECONDS)},
    )


async def respond(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's exception handler."""
    return of(error).response(request.url.path)


def _invalid(error: RequestValidationError) -> Problem:
    """The first thing wrong with a body, and where."""
    errors = error.errors()
    first = min(errors, key=_unlikely)
    param = _param(first["loc"])
    if first["type"] == "extra_forbidden":
        inside, name = _param(first["loc"][:-1]), str(first["loc"][-1])[:100]
        param = f"{inside}.{name}" if inside else name
        return Problem(
            400, f"{param!r} is not a field of this request, or is not supported", param=param, code="unsupported_field"
        )
    message = first["msg"].removeprefix("Value error, ")
    if (kind := _KINDS.get(first["type"])) is not None:
        text = any(one["type"] == "string_type" and _param(one["loc"]) == param for one in errors)
        message = f"Input should be {'text or ' if text else ''}{kind}"
    return Problem(400, f"{param}: {message}" if param else message, param=param, code="invalid_value")


def _param(place: Sequence[int | str]) -> str | None:
    """A field, as ``messages.0.role``. Beside fields and places, pydantic names which of several types it tried."""
    return ".".join(str(part) for part in place[1:] if isinstance(part, int) or _FIELD.fullmatch(part)) or None


_FIELD = re.compile(r"(?!(?:str|int|list|bool)$)[a-z_]+|[^a-z\[\]]+")

_KINDS = {"model_type": "an object", "model_attributes_type": "an object", "dict_type": "an object", "list_type": "a list"}


def _unlikely(error: Any) -> int:
    """Of the complaints about a field that may be of several types, those to mention last."""
    if error["type"] == "literal_error":  # one of some words was expected
        return 0 if isinstance(error["input"], str) else 1
    return {"string_type": 1, "none_required": 2}.get(error["type"], 0)
