"""Text files that a bundle can't have: refused in a sentence that names the file and the entry, and shows what would differ."""

from __future__ import annotations

import pickle
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.text.folders import VOCAB_SIZE, Change, change, text_folder
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.exporters.text.text_files import text_files

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return text_folder(tmp_path / "checkpoint")


def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        text_files(folder, VOCAB_SIZE)
    assert "\n" not in caught.value.message and caught.value.hint
    assert "/tmp" not in caught.value.message.replace(str(folder.parent), ""), "no path of a copy"
    return caught.value


def token(text: str, id_: int) -> dict[str, Any]:
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    return {"id": id_, "content": text, **dict.fromkeys(flags, False), "special": True}


CHANGES: dict[str, tuple[str, str, Change, str]] = {
    "a token beyond the embedding": (
        "tokenizer.json",
        "added_tokens",
        lambda own: own["added_tokens"].append(token("[PAD]", VOCAB_SIZE)),
        r"'\[PAD\]' \(1280\)",
    ),
    "a named token beyond the embedding": (
        "tokenizer_config.json",
        "pad_token",
        lambda config: config.update(pad_token="[PAD]"),
        r"'\[PAD\]' \(1280\)",
    ),
    "tokens of the vocabulary beyond the embedding": (
        "tokenizer.json",
        "model.vocab",
        lambda own: own["model"]["vocab"].update({"a": 1300}),
        r"'a' \(1300\)",
    ),
    "special tokens that are read as text": (
        "tokenizer_config.json",
        "split_special_tokens",
        lambda config: config.update(split_special_tokens=True),
        r"'<\|begin_of_text\|>' is \[31, .*…\] to transformers, and \[0\] in the bundle",
    ),
    "a name that is none": ("tokenizer_config.json", "bos_token", lambda config: config.update(bos_token=5), "TypeError"),
    "tokens that are none": (
        "tokenizer_config.json",
        "added_tokens_decoder",
        lambda config: config.update(added_tokens_decoder={"2": "<|User|>"}),
        "TypeError",
    ),
    "a class that is no tokenizer": (
        "tokenizer_config.json",
        "tokenizer_class",
        lambda config: config.update(tokenizer_class="AutoModelForCausalLM"),
        "tokenizers library",
    ),
    "a class in Python alone": (
        "tokenizer_config.json",
        "tokenizer_class",
        lambda config: config.update(tokenizer_class="CTRLTokenizer"),
        "tokenizers library",
    ),
    "a part that is unknown": (
        "tokenizer.json",
        "pre_tokenizer",
        lambda own: own.update(pre_tokenizer={"type": "Unheard"}),
        "PreTokenizer",
    ),
    "dropout": ("tokenizer.json", "model.dropout", lambda own: own["model"].update(dropout=0.1), "other ids each time"),
    "no number": ("tokenizer_config.json", "model_max_length", lambda c: c.update(model_max_length=float("inf")), "JSON"),
    "templates without a default": (
        "tokenizer_config.json",
        "chat_template",
        lambda config: config.update(chat_template=[{"name": "tool_use", "template": "x"}]),
        "default",
    ),
    "templates without names": (
        "tokenizer_config.json",
        "chat_template",
        lambda config: config.update(chat_template=["x"]),
        "TypeError",
    ),
    "a template that is none": ("tokenizer_config.json", "chat_template", lambda c: c.update(chat_template=3), "chat_template"),
    "a template with a fault": ("tokenizer_config.json", "chat_template", lambda c: c.update(chat_template="{% if %}"), "if"),
    "a template that refuses all": (
        "tokenizer_config.json",
        "chat_template",
        lambda config: config.update(chat_template="{{ raise_exception('no') }}"),
        r"renders no conversation \(.*no",
    ),
}


@pytest.mark.parametrize(("file", "key", "edit", "said"), CHANGES.values(), ids=CHANGES)
def test_the_entry_is_named_and_what_is_wrong_with_it(folder: Path, file: str, key: str, edit: Change, said: str) -> None:
    if key == "chat_template":
        (folder / "chat_template.jinja").unlink()
    change(folder / file, edit)
    error = refused(folder)
    assert error.message.startswith(f"{folder / file}: {key}")
    assert pytest.raises(CheckpointError, match=said).matches(error)


def test_a_class_with_tokens_of_its_own(folder: Path) -> None:
    change(folder / "tokenizer_config.json", lambda config: config.update(tokenizer_class="BertTokenizer"))
    if len(transformers.AutoTokenizer.from_pretrained(folder)) == VOCAB_SIZE:
        pytest.skip("this release of transformers doesn't heed the class")
    error = refused(folder)
    assert error.message.startswith(
        f"{folder / 'tokenizer_config.json'}: tokenizer_class is 'BertTokenizer': 4 tokens have no row"
    )


@pytest.mark.parametrize("contents", [b"", b"[]", b"{", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"null", b"[" * 10**5])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
def test_files_that_are_no_json(folder: Path, name: str, contents: bytes) -> None:
    (folder / name).write_bytes(contents)
    assert str(folder / name) in refused(folder).message


@pytest.mark.parametrize("contents", [b"{% if %}", b"\xff\xfe", b"{{ raise_exception('no') }}", b"{{ " + b"(" * 500])
@pytest.mark.parametrize("name", ["chat_template.jinja", "additional_chat_templates/tool_use.jinja"])
def test_templates_in_files(folder: Path, name: str, contents: bytes) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / name).write_bytes(contents)
    if name.startswith("a") and b"raise" in contents:
        text_files(folder, VOCAB_SIZE)  # the others render
    else:
        refused(folder)


@pytest.mark.parametrize("name", ["tokenizer.model", "vocab.json", "vocab.txt"])
def test_files_of_which_transformers_makes_no_tokenizer(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / name).write_bytes(pickle.dumps({"a": 1}))
    error = refused(folder)
    assert "tokenizer.json" in error.message and "save_pretrained" in str(error.hint)


def test_no_code_of_a_checkpoint_runs_and_nothing_is_asked_of_a_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a network is asked")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    marker = folder / "ran"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own: pass\n", encoding="utf-8")
    for reference in ("own.Own", "somebody/repository--own.Own"):
        mapped: dict[str, Any] = {"auto_map": {"AutoTokenizer": [None, reference], "AutoConfig": reference}}
        change(folder / "config.json", partial(put, mapped))
        change(folder / "tokenizer_config.json", partial(put, mapped | {"tokenizer_class": "Own"}))
        assert "auto_map is" in refused(folder).message
        change(folder / "tokenizer_config.json", partial(put, {"tokenizer_class": "PreTrainedTokenizerFast"}))
        text_files(folder, VOCAB_SIZE)  # transformers has a class of that name
    change(folder / "tokenizer_config.json", lambda c: c.pop("auto_map"))
    for name in ("name_or_path", "_name_or_path", "processor_class", "vocab_file", "gguf_file"):
        change(folder / "tokenizer_config.json", partial(put, {name: "somebody/repository"}))
    text_files(folder, VOCAB_SIZE)
    assert not marker.exists()


def put(values: dict[str, Any], fields: dict[str, Any]) -> None:
    fields.update(values)


def test_files_outside_the_checkpoint_are_not_read(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / "tokenizer.json").rename(elsewhere / "tokenizer.1.0.0.json")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    change(folder / "tokenizer_config.json", lambda c: c.update(fast_tokenizer_files=["../elsewhere/tokenizer.1.0.0.json"]))
    assert "fast_tokenizer_files is" in refused(folder).message
    change(folder / "tokenizer_config.json", lambda c: c.pop("fast_tokenizer_files"))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}", encoding="utf-8")
    change(folder / "tokenizer_config.json", lambda c: c.update(merges_file=str(elsewhere / "tokenizer.1.0.0.json")))
    assert "merges_file is" in refused(folder).message


def test_two_entries_that_only_together_are_wrong(folder: Path) -> None:
    change(folder / "tokenizer_config.json", lambda c: c.update(bos_token=5, eos_token=6))
    assert "TypeError" in refused(folder).message


def test_a_decoding_that_streams_could_not_have(folder: Path) -> None:
    """transformers takes spaces away after it decoded, where the text is not made of byte pairs."""
    words = {text: id_ for id_, text in enumerate(("[UNK]", "Hello", ",", "world", "!"))}
    own: dict[str, Any] = {"model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": words}, "added_tokens": []}
    own |= {"pre_tokenizer": {"type": "Whitespace"}, "decoder": None, "post_processor": None}
    change(folder / "tokenizer.json", lambda fields: fields.update(own))
    text_files(folder, VOCAB_SIZE)
    change(folder / "tokenizer_config.json", lambda c: c.update(clean_up_tokenization_spaces=True))
    error = refused(folder)
    assert error.message.startswith(f"{folder / 'tokenizer_config.json'}: clean_up_tokenization_spaces is true: ")
    assert "is 'Hello, world!' to transformers, and 'Hello , world !' in the bundle" in error.message
