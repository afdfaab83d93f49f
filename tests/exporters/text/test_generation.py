"""generation_config.json at export: what transformers takes is taken as it takes it, and the rest is refused by its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.exporters.text.folders import VOCAB_SIZE, text_folder
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.generation_config import GenerationConfig
from youtu_onnx.exporters.text.generation import read_generation_config

transformers = pytest.importorskip("transformers")


def read(tmp_path: Path, contents: dict[str, Any] | str | bytes | None, **config: Any) -> GenerationConfig:
    folder = text_folder(tmp_path / "checkpoint")
    path = folder / "generation_config.json"
    if contents is None:
        path.unlink()
    elif isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        path.write_text(contents if isinstance(contents, str) else json.dumps(contents), encoding="utf-8")
    own = json.loads((folder / "config.json").read_text(encoding="utf-8")) | config
    (folder / "config.json").write_text(json.dumps(own), encoding="utf-8")
    return read_generation_config(folder, VOCAB_SIZE)


REFUSED: list[tuple[str, Any, dict[str, Any]]] = [
    *[("eos_token_id", value, {}) for value in ([1, 128009], 1280, -1, [], "1", True, 1.0, [1.0], [[1]], {"a": 1})],
    *[(name, value, {}) for name in ("bos_token_id", "pad_token_id") for value in (1280, -1, "x", 0.5, False)],
    ("pad_token_id", [1], {}),
    ("decoder_start_token_id", 5000, {}),
    *[("temperature", value, {"do_sample": True}) for value in (-1, 0, 0.0, "0.7", [1.0], True, 2, 10**400)],
    *[("temperature", value, {}) for value in (-1, "0.7")],
    *[("top_k", value, {"do_sample": True}) for value in (-3, -1, 50.0, "50", True, [])],
    *[("top_p", value, {"do_sample": True}) for value in (0, 2, -0.5, "0.9", None or [])],
    *[("repetition_penalty", value, {}) for value in (0, -1.0, "1.1", 2)],
    *[("max_new_tokens", value, {}) for value in (0, -5, 1.5, "64")],
    *[("max_length", value, {}) for value in (0, 1.5, "64")],
    *[("do_sample", value, {}) for value in (1, 0, "true", [])],
    ("num_beams", 4, {}),
    ("num_beams", "x", {}),
    ("no_repeat_ngram_size", 3, {}),
    ("suppress_tokens", [5], {}),
    ("forced_eos_token_id", 1, {}),
    ("min_new_tokens", 5, {}),
    ("stop_strings", ["x"], {}),
    ("min_p", 0.1, {"do_sample": True}),
    ("typical_p", 0.9, {"do_sample": True}),
    ("cache_implementation", "unheard", {}),
    ("early_stopping", "soon", {}),
    ("compile_config", {}, {}),
    ("validate", 1, {}),
]


@pytest.mark.parametrize(("key", "value", "others"), REFUSED, ids=lambda one: str(one)[:30])
def test_what_no_reader_of_a_bundle_could_use_is_refused_by_its_key(
    tmp_path: Path, key: str, value: Any, others: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, {key: value} | others)
    assert caught.value.message.startswith(f"{tmp_path / 'checkpoint' / 'generation_config.json'}: {key} is ")
    assert "\n" not in caught.value.message and caught.value.hint


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have(tmp_path: Path, number: str) -> None:
    with pytest.raises(CheckpointError, match=r"generation_config.json: temperature .*JSON"):
        read(tmp_path, '{"do_sample": true, "temperature": ' + number + "}")


@pytest.mark.parametrize("contents", ["", "[]", "null", "5", '"x"', "{", "{'a': 1}", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00"])
def test_files_that_hold_no_json_object(tmp_path: Path, contents: str | bytes) -> None:
    with pytest.raises(CheckpointError, match=r"generation_config\.json .*JSON"):
        read(tmp_path, contents)


TAKEN: list[dict[str, Any]] = [
    {},
    {"do_sample": True},
    {"do_sample": True, "top_k": None, "temperature": None, "top_p": None},
    {"do_sample": True, "top_k": 0, "top_p": 1, "temperature": 1},
    {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.05},
    {"do_sample": None, "eos_token_id": None, "max_new_tokens": None},
    {"eos_token_id": 7, "pad_token_id": 3, "max_new_tokens": 9},
    {"eos_token_id": [7, 1], "max_length": 20},
    {"temperature": 0, "min_p": 0.1, "top_k": 5},
    {"num_beams": 1, "suppress_tokens": [], "no_repeat_ngram_size": 0, "stop_strings": None},
    {"use_cache": False, "transformers_version": "4.40.0", "_from_model_config": True, "chat_format": "own"},
]


@pytest.mark.parametrize("fields", TAKEN, ids=str)
def test_values_and_defaults_are_those_of_transformers(tmp_path: Path, fields: dict[str, Any]) -> None:
    ours, theirs = read(tmp_path, fields), transformers.GenerationConfig(**fields)
    theirs.update(**theirs._get_default_generation_params(), defaults_only=True)
    assert ours.do_sample == theirs.do_sample and ours.repetition_penalty == theirs.repetition_penalty
    if ours.do_sample:
        assert (ours.temperature, ours.top_k, ours.top_p) == (theirs.temperature, theirs.top_k, theirs.top_p)
    listed = theirs.eos_token_id
    assert ours.eos_token_ids == (None if listed is None else tuple(listed) if isinstance(listed, list) else (listed,))
    assert (ours.max_new_tokens, ours.pad_token_id) == (theirs.max_new_tokens, theirs.pad_token_id)


def test_without_the_file_config_json_says_what_it_says_of_generation(tmp_path: Path) -> None:
    older = {"do_sample": True, "temperature": 0.6, "max_new_tokens": 7}
    assert read(tmp_path, None, **older) == GenerationConfig(do_sample=True, temperature=0.6, top_k=50, max_new_tokens=7)
    with pytest.raises(CheckpointError, match=r"config\.json: num_beams is 4"):
        read(tmp_path / "other", None, num_beams=4)
    with pytest.raises(CheckpointError, match=r"config\.json: temperature is -1"):
        read(tmp_path / "third", None, temperature=-1)
