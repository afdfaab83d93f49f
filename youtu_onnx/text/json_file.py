"""The small JSON files beside a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from youtu_onnx.core.errors import BundleError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty where there is no file.

    Raises:
        BundleError: the file is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"can't read {path}: {error}", hint="copy or export the folder again") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} holds no JSON object", hint="copy or export the folder again")
    return value
