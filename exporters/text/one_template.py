"""Several chat templates in one, for bundles: most programs read only one, and onnxruntime-genai opens no list of them."""

from __future__ import annotations

from collections.abc import Mapping

from youtu_onnx.text.template_files import DEFAULT, TOOL_USE


def one_template(templates: Mapping[str, str]) -> str:
    """A template that renders what transformers does with these: ``tool_use`` for calls with tools, else ``default``.

    Others, which a caller of transformers names, have no place in it.
    """
    default, tools = templates[DEFAULT], templates.get(TOOL_USE)
    if tools is None or tools == default:
        return default
    return f"{{% if tools is defined and tools is not none %}}{_inside(tools)}{{% else %}}{_inside(default)}{{% endif %}}"


def _inside(template: str) -> str:
    """A template between tags: these would take a newline behind and spaces before them, and a file's last newline isn't text."""
    text = template.replace("\r\n", "\n").removesuffix("\n")
    return f"{{{{ '' }}}}{text}{{{{ '' }}}}"
