"""``--schema FILE``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from youtu_onnx.core.decoding import decoded
from youtu_onnx.core.errors import UsageError

EXAMPLE = '{"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}'


def read_schema(path: Path) -> Mapping[str, Any]:
    """
    Raises:
        UsageError: it can't be read, is no text, or no schema that is an object.
    """
    try:
        found = json.loads(decoded(path.read_bytes(), str(path)))
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror or error}", hint="name a file with a JSON schema") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON: {error}", hint=f"a schema is such as {EXAMPLE}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} has {type(found).__name__}, not a schema", hint=f"a schema is such as {EXAMPLE}")
    return found
