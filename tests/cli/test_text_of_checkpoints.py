"""A checkpoint's text through the command: what a bundle could not say as transformers does is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.text.folders import TOOLS, USER, change, only_in_the_config, text_folder
from tests.exporters.text.mutated_files import copied
from youtu_onnx.cli import main
from youtu_onnx.text import ChatTemplate, Tokenizer

transformers = pytest.importorskip("transformers")

PAD = {
    "id": 1280,
    "content": "[PAD]",
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
CHANGES: dict[str, tuple[str, Any, str]] = {
    "a tokenizer larger than the embedding": (
        "tokenizer.json",
        lambda own: own["added_tokens"].append(PAD),
        "tokenizer.json: added_tokens: a token has no row in the embedding, whose vocab_size is 1280: '[PAD]' (1280)",
    ),
    "an end token of another model": (
        "generation_config.json",
        lambda config: config.update(eos_token_id=[1, 128009]),
        "generation_config.json: eos_token_id is [1, 128009]; expected token ids below vocab_size 1280",
    ),
    "a temperature that can't be": (
        "generation_config.json",
        lambda config: config.update(do_sample=True, temperature=-1),
        "generation_config.json: temperature is -1; expected a number from 0",
    ),
    "an end token in the model's config": (
        "config.json",
        lambda config: config.update(eos_token_id=1280),
        "eos_token_id is 1280",
    ),
}


@pytest.mark.parametrize(("file", "edit", "said"), CHANGES.values(), ids=CHANGES)
def test_refused_before_any_work(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    edit: Any,
    said: str,
) -> None:
    folder = text_folder(tmp_path / "files")
    change(folder / file, edit)
    checkpoint, out = copied(folder, tmp_path / "checkpoint"), tmp_path / "out"
    assert main(["export", "-m", str(checkpoint), "-o", str(out)]) == 1
    errors = capsys.readouterr().err
    assert said in errors and errors.count("error: ") == 1 and "hint: " in errors and "trace" not in errors
    assert not out.exists()


def test_what_is_exported_makes_transformers_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A template of its own for calls with tools, and a token that only the config's list has."""
    folder = text_folder(tmp_path / "files")
    (folder / "additional_chat_templates").mkdir()
    source = "{{ bos_token }}TOOLS {{ tools | tojson }}{% for m in messages %}<|User|>{{ m.content }}{% endfor %}<|Assistant|>"
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(source, encoding="utf-8")
    only_in_the_config(folder, "<|User|>", 2)
    checkpoint, bundle = copied(folder, tmp_path / "checkpoint"), tmp_path / "bundle"
    assert main(["export", "-m", str(checkpoint), "-o", str(bundle), "-p", "fp32", "--no-verify"]) == 0
    assert "tokenizer.json, tokenizer_config.json, chat_template.jinja: with what transformers makes" in capsys.readouterr().err
    template = ChatTemplate.open(bundle, Tokenizer.open(bundle))
    assert template is not None
    for theirs in map(transformers.AutoTokenizer.from_pretrained, (checkpoint, bundle)):
        for tools in (None, TOOLS):
            wanted = theirs.apply_chat_template(USER, tools=tools, add_generation_prompt=True, return_dict=False)
            assert template.encode_chat(USER, tools=tools) == wanted
    assert main(["generate", str(bundle), "--prompt", "2 + 2", "--max-tokens", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finish_reason"]
