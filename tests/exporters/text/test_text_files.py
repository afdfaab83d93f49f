"""Which files a bundle has of a checkpoint's tokenizer: the ids are transformers', and whatever reads the files finds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.text.folders import NANO, TOOLS, USER, VOCAB_SIZE, change, only_in_the_config, text_folder, written
from youtu_onnx.exporters.text.text_files import text_files

transformers = pytest.importorskip("transformers")

TOOL_USE = "{{ bos_token }}TOOLS {{ tools | tojson }}{% for m in messages %}<|User|>{{ m.content }}{% endfor %}<|Assistant|>"
PLAIN = "\n {{ bos_token }}{% for m in messages %}\n<|User|>{{ m.content }}\n{% endfor %}<|Assistant|> \n\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return text_folder(tmp_path / "checkpoint")


def auto(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


def agree(folder: Path, tmp_path: Path) -> None:
    """A bundle's reader, and transformers on the bundle, make the prompts that transformers makes of the checkpoint."""
    tokenizer, template = written(text_files(folder, VOCAB_SIZE), tmp_path / "bundle")
    theirs, again = auto(folder), auto(tmp_path / "bundle")
    for text in ("Hi <|User|>x</think>", " <|User|>  你好 <|end_of_text|>\n"):
        assert tokenizer.encode(text, special=True, frame=True) == theirs(text)["input_ids"] == again(text)["input_ids"]
    assert template is not None
    for tools in (None, TOOLS, []):
        wanted = theirs.apply_chat_template(USER, tools=tools, add_generation_prompt=True, return_dict=False)
        assert template.encode_chat(USER, tools=tools) == wanted
        assert again.apply_chat_template(USER, tools=tools, add_generation_prompt=True, return_dict=False) == wanted


def test_files_that_say_it_all_travel_unchanged(folder: Path) -> None:
    made = text_files(folder, VOCAB_SIZE)
    assert made.contents == {name: (NANO / name).read_bytes() for name in made.contents} and not made.remarks
    assert set(made.contents) == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


def test_tokens_that_only_added_tokens_decoder_has(folder: Path, tmp_path: Path) -> None:
    only_in_the_config(folder, "<|User|>", 2)
    agree(folder, tmp_path)
    own = json.loads((tmp_path / "bundle" / "tokenizer.json").read_text(encoding="utf-8"))
    assert "<|User|>" in [one["content"] for one in own["added_tokens"]], "so every program has it"


@pytest.mark.parametrize("place", ["folder", "folder and file", "list", "object", "two files"])
def test_several_templates_become_one_that_every_reader_opens(folder: Path, tmp_path: Path, place: str) -> None:
    both = {"default": PLAIN, "tool_use": TOOL_USE}
    (folder / "chat_template.jinja").unlink()
    if place == "folder":
        (folder / "additional_chat_templates").mkdir()
        for name, text in both.items():
            (folder / "additional_chat_templates" / f"{name}.jinja").write_text(text, encoding="utf-8")
    elif place == "folder and file":
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOL_USE, encoding="utf-8")
        (folder / "chat_template.jinja").write_text(PLAIN, encoding="utf-8")
    elif place == "two files":
        (folder / "chat_template.jinja").write_text(PLAIN, encoding="utf-8")  # tokenizer_config.json has another
    else:
        listed = [{"name": name, "template": text} for name, text in both.items()]
        change(folder / "tokenizer_config.json", lambda c: c.update(chat_template=listed if place == "list" else both))
    agree(folder, tmp_path)
    config = json.loads((tmp_path / "bundle" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["chat_template"] == (tmp_path / "bundle" / "chat_template.jinja").read_text(encoding="utf-8")


def test_templates_that_nobody_here_can_choose_are_named(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("rag", encoding="utf-8")
    assert "rag" in text_files(folder, VOCAB_SIZE).remarks[-1]


def test_a_checkpoint_without_a_template(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    change(folder / "tokenizer_config.json", lambda config: config.pop("chat_template"))
    (folder / "chat_template.json").write_text('{"chat_template": "for a processor"}', encoding="utf-8")
    made = text_files(folder, VOCAB_SIZE)
    assert written(made, tmp_path / "bundle")[1] is None and auto(folder).chat_template is None
    assert "chat_template.json" in made.remarks[-1]


def test_older_vocabulary_files(folder: Path, tmp_path: Path) -> None:
    own = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").unlink()
    vocab = own["model"]["vocab"] | {one["content"]: one["id"] for one in own["added_tokens"]}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    merges = (one if isinstance(one, str) else " ".join(one) for one in own["model"]["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges), encoding="utf-8")
    listed = {str(one["id"]): {key: value for key, value in one.items() if key != "id"} for one in own["added_tokens"]}
    change(
        folder / "tokenizer_config.json",
        lambda c: c.update(tokenizer_class="GPT2Tokenizer", unk_token="<|end_of_text|>", added_tokens_decoder=listed),
    )
    agree(folder, tmp_path)


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word", "normalized", "special"])
def test_added_tokens_with_flags(folder: Path, tmp_path: Path, flag: str) -> None:
    def flip(own: dict[str, Any]) -> None:
        for one in own["added_tokens"]:
            one[flag] = not one[flag]
        own["normalizer"] = {"type": "NFKC"} if flag == "normalized" else None

    change(folder / "tokenizer.json", flip)
    agree(folder, tmp_path)


CONFIGS: dict[str, dict[str, Any]] = {
    "names in special_tokens_map.json": {"bos_token": None, "eos_token": None},
    "a model's own names": {"image_token": "<tools>", "extra_special_tokens": {"video": "</tools>"}},
    "a list of more": {"additional_special_tokens": ["<tools>", "<think>"]},
    "frames that transformers leaves to tokenizer.json": {"add_eos_token": True, "add_bos_token": False},
    "a class of byte-level files": {"tokenizer_class": "LlamaTokenizer"},
    "a class that nobody knows": {"tokenizer_class": "YoutuTokenizerFast"},
    "truncation": {"model_max_length": 3},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_else_configs_say(folder: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    names = {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>", "lstrip": False, "normalized": False}}
    (folder / "special_tokens_map.json").write_text(json.dumps(names), encoding="utf-8")
    change(folder / "tokenizer_config.json", lambda fields: fields.update(config))
    agree(folder, tmp_path)


TEMPLATES = {
    "undefined names": "{{ nothing }}{% if nothing is defined %}x{% endif %}{{ messages[0].content }}{{ image_token }}",
    "the time": "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}{{ messages[0].content }}",
    "a refusal of some": "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}",
    "a block for training": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ messages[0].content }}{% endgeneration %}{{ x }}",
    "a namespace": "{% set n = namespace(a=1, self=2) %}{% set n.a = 3 %}{{ n.a }}{{ n.self }}{{ messages[0].content }}",
    "objects": "{{ dict(a=messages[0].content) | tojson(indent=1) }}{{ messages[0].items() | list }}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_what_templates_use(folder: Path, tmp_path: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    _, ours = written(text_files(folder, VOCAB_SIZE), tmp_path / "bundle")
    assert ours is not None
    rendered = {ours.render(USER, add_generation_prompt=False) for _ in range(2)}  # one of them within a second
    rendered.add(auto(folder).apply_chat_template(USER, tokenize=False))
    assert len(rendered) < 3 and all(text.endswith(("Hi", "Hi1", "]")) for text in rendered)


@pytest.mark.parametrize("name", ["serialized", "named"])
def test_onnxruntime_genai_opens_what_was_completed(
    folder: Path, tmp_path: Path, nano_bundle: Callable[..., Path], name: str
) -> None:
    """Its tokenizer reads the same files, and takes no list of templates."""
    genai = pytest.importorskip("onnxruntime_genai")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOL_USE, encoding="utf-8")
    if name == "serialized":
        only_in_the_config(folder, "<|User|>", 2)
    written(text_files(folder, VOCAB_SIZE), tmp_path / "bundle")
    for file in ("genai_config.json", "model.onnx", "model.onnx.data"):
        (tmp_path / "bundle" / file).symlink_to(nano_bundle("int4") / file)
    opened = genai.Tokenizer(genai.Model(str(tmp_path / "bundle")))
    assert list(opened.encode("<|User|>Hi")) == auto(folder)("<|User|>Hi", add_special_tokens=False)["input_ids"]
    said = opened.apply_chat_template(messages=json.dumps(USER), tools=json.dumps(TOOLS), add_generation_prompt=True)
    assert said.startswith("<|begin_of_text|>TOOLS [{") and said.endswith("<|User|>Hi<|Assistant|>")
