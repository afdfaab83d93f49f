"""The places of chat templates in a folder, in transformers' order; and what the environment of templates has."""

from __future__ import annotations

from pathlib import Path

import pytest

from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.text import ChatTemplate, Tokenizer

NANO = Path(__file__).parents[2] / "youtu_onnx" / "models" / "youtu_nano"
TOKENIZER = Tokenizer.open(NANO)
SOLE = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def rendered(folder: Path, tools: list[dict[str, object]] | None = None) -> str | None:
    template = ChatTemplate.open(folder, TOKENIZER)
    return template and template.render(SOLE, tools=tools)


def test_files_of_their_own_come_before_the_config(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": {"default": "object", "tool_use": "its tools"}}')
    assert (rendered(tmp_path), rendered(tmp_path, [TOOL])) == ("object", "its tools")
    more = tmp_path / "additional_chat_templates"
    more.mkdir()
    assert rendered(tmp_path) == "object"
    (more / "tool_use.jinja").write_text("tools")
    with pytest.raises(BundleError, match="default"):  # the config is not read any more
        rendered(tmp_path)
    (more / "default.jinja").write_text("one")
    assert (rendered(tmp_path), rendered(tmp_path, [TOOL]), rendered(tmp_path, [])) == ("one", "tools", "tools")
    (tmp_path / "chat_template.jinja").write_text("file")
    (more / "default.jinja").unlink()
    assert (rendered(tmp_path), rendered(tmp_path, [TOOL])) == ("file", "tools")
    (more / "tool_use.jinja").write_bytes(b"\xff")
    with pytest.raises(BundleError, match="tool_use"):
        rendered(tmp_path)


def text_of(source: str) -> str:
    return ChatTemplate({"default": source}, TOKENIZER).render(SOLE)


def test_what_a_generation_block_sets_is_gone_behind_it() -> None:
    assert text_of("{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}") == "21"
    assert (
        text_of("{% for m in messages %}{% generation %}{{ loop.index }}{{ m.content }}{% endgeneration %}{% endfor %}") == "1hi"
    )


def test_namespaces_hold_what_transformers_lets_them() -> None:
    assert (
        text_of("{% set n = namespace(self=1, b=2) %}{% set n.b = 3 %}{{ n.self }}{{ n.b }}{{ namespace({'c': 4}).c }}") == "134"
    )
    for source in ("{{ namespace(_a=1) }}", "{% set n = namespace() %}{% set n._a = 1 %}"):
        with pytest.raises(UsageError, match="_a"):
            text_of(source)


def test_templates_that_python_can_not_compile_are_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="can't be read"):
        ChatTemplate({"default": "{% for a in b %}" * 30 + "{% endfor %}" * 30}, TOKENIZER)


def test_named_tokens_are_those_that_transformers_gives_templates(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
    config = tmp_path / "tokenizer_config.json"
    config.write_text(
        '{"bos_token": "<|User|>", "image_token": {"content": "<think>"}, "add_bos_token": true, "eos_token": null,'
        ' "extra_special_tokens": {"video": "</think>"}}'
    )
    assert Tokenizer.open(tmp_path).named == {"bos_token": "<|User|>", "image_token": "<think>", "video": "</think>"}
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<tools>", "additional_special_tokens": ["x"]}')
    assert Tokenizer.open(tmp_path).named["bos_token"] == "<tools>", "the older file counts"
    config.write_text('{"bos_token": "<|User|>", "added_tokens_decoder": {}}')
    assert Tokenizer.open(tmp_path).named == {"bos_token": "<|User|>"}, "unless the config lists all tokens"
