"""Where the chat templates of a folder are: the places that transformers looks into, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError
from youtu_onnx.text.json_file import read_json

DEFAULT = "default"
"""The template of calls without tools, and of those with tools where there is no ``tool_use``."""
TOOL_USE = "tool_use"


def chat_templates(folder: Path) -> tuple[dict[str, str], Path] | None:
    """The templates by name, and the file or folder that names them; None where there are none.

    ``chat_template.jinja`` is the one called ``default``, and each ``additional_chat_templates/NAME.jinja`` one more. Without
    any of these, ``chat_template`` in ``tokenizer_config.json`` counts: a template, or a list of ``{"name": …, "template": …}``.

    Raises:
        BundleError: a file can't be read, or none of several templates is the default.
    """
    default, others = folder / names.CHAT_TEMPLATE, folder / names.ADDITIONAL_CHAT_TEMPLATES
    found = {DEFAULT: _read(default)} if default.is_file() else {}
    found |= {path.name.removesuffix(".jinja"): _read(path) for path in sorted(others.glob("*.jinja"))}
    if found:
        return _with_default(found, default if DEFAULT in found else others), default if default.is_file() else others
    path = folder / names.TOKENIZER_CONFIG
    listed = _named(read_json(path).get("chat_template"))
    return None if listed is None else (_with_default(listed, path), path)


def _named(listed: Any) -> Any:
    """Templates by name, of what ``chat_template`` in ``tokenizer_config.json`` may be: text, a list or an object."""
    if isinstance(listed, str):
        return {DEFAULT: listed}
    if isinstance(listed, list):
        return {entry.get("name"): entry.get("template") for entry in listed if isinstance(entry, Mapping)}
    return listed


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"can't read {path}: {error}", hint="copy or export the folder again") from error


def _with_default(templates: Any, where: Path) -> dict[str, str]:
    if (
        not isinstance(templates, Mapping)
        or DEFAULT not in templates
        or not all(isinstance(text, str) for both in templates.items() for text in both)
    ):
        raise BundleError(
            f"{where}: chat_template is neither a template nor named templates with a {DEFAULT!r}",
            hint="copy or export the folder again",
        )
    return dict(templates)
