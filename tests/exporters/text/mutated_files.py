"""Text files of a checkpoint as they might be in the wild: wrong by a value, a type, a token, a template too many or too few."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.exporters.text.folders import NANO, text_folder

ODD: tuple[Any, ...] = (None, True, False, 0, 1, -1, 3, 0.5, 1.0, -0.5, 1e6, 10**30, "", "1", "x", [], {}, [1], ["x"], {"a": 1})
"""Values of every type."""
GENERATION: dict[str, tuple[Any, ...]] = {
    "do_sample": (True, True, True, False, None, 1, "true"),
    "temperature": (0.6, 1.0, 1, 0, 0.0, 2, -1, float("nan"), float("inf"), "0.7"),
    "top_k": (20, 0, 50, 1, 10**9, -3, -1, 20.0, "20"),
    "top_p": (0.95, 1, 1.0, 0, 2, -0.1, "0.9"),
    "repetition_penalty": (1.05, 1, 1.0, 2.5, 0, 2, -1.0),
    "max_new_tokens": (1, 192, 10**9, 0, -1, 1.5),
    "max_length": (20, 4096, 0, -1),
    "eos_token_id": (1, [1], [1, 7], 1279, 1280, [1, 128009], -1, [], [1.0], "1"),
    "bos_token_id": (0, 1279, 1280, -1, [0]),
    "pad_token_id": (1, 3, 1280, -1),
    "decoder_start_token_id": (0, 1280),
    "num_beams": (1, 4),
    "min_p": (0, 0.05),
    "typical_p": (1.0, 0.9),
    "suppress_tokens": ([], [3]),
    "no_repeat_ngram_size": (0, 2),
    "min_new_tokens": (0, 3),
    "stop_strings": ([], ["x"]),
    "early_stopping": (True, "never", "soon"),
    "cache_implementation": ("dynamic", "static", "unheard"),
    "use_cache": (True, False),
    "transformers_version": ("4.57.0", 5),
    "validate": (1,),
    "_from_model_config": (True, False),
}
CONFIG: dict[str, tuple[Any, ...]] = {
    "tokenizer_class": (
        *("PreTrainedTokenizerFast", "LlamaTokenizer", "LlamaTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "BertTokenizer"),
        *("T5Tokenizer", "CTRLTokenizer", "PreTrainedTokenizer", "YoutuTokenizer", "AutoModel", "pipeline", "logging"),
    ),
    **{
        f"{name}_token": ("<|User|>", "<tools>", "zq", "[NEW]", {"content": "<tools>"})
        for name in ("bos", "eos", "pad", "unk", "mask")
    },
    "image_token": ("<think>", "[IMG]"),
    "extra_special_tokens": (["<think>"], {"image": "<think>"}, ["[NEW]"]),
    "additional_special_tokens": (["<think>", "</think>"], ["[NEW]"], [{"content": "<think>"}]),
    "add_bos_token": (True, False),
    "add_eos_token": (True, False),
    "add_prefix_space": (True, False),
    "split_special_tokens": (True, False),
    "clean_up_tokenization_spaces": (True, False),
    "model_max_length": (16, 1e30, float("inf")),
    "padding_side": ("left", "right", "up"),
    "truncation_side": ("left", "down"),
    "model_input_names": (["input_ids"], 3),
    "auto_map": ({"AutoTokenizer": ["own.Own", None]}, ["own.Own", None], {"AutoTokenizer": ["a/b--own.Own", None]}),
    "fast_tokenizer_files": (["tokenizer.json"], ["tokenizer.4.0.0.json"], ["../tokenizer.4.0.0.json"]),
    "tokenizer_file": ("/nowhere/tokenizer.json",),
    "legacy": (True, False),
    "from_slow": (True,),
    "chat_template": ("{{ messages[0].content }}", [{"name": "default", "template": "x"}], {"default": "x"}, ["x"], "{% if %}"),
    "encode": (1,),
    "vocab": ({"a": 0},),
    "post_processor": (None, "x"),
}
PARTS: dict[str, tuple[Any, ...]] = {
    "normalizer": (
        None,
        {"type": "NFC"},
        {"type": "NFKC"},
        {"type": "Lowercase"},
        {"type": "Prepend", "prepend": "_"},
        {"type": "X"},
    ),
    "pre_tokenizer": (
        None,
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "X"},
    ),
    "post_processor": (None, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}),
    "decoder": (None, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "X"}),
    "truncation": ({"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}, {"max_length": 4}),
    "padding": (
        {
            "strategy": {"Fixed": 8},
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 1,
            "pad_type_id": 0,
            "pad_token": "<think>",
        },
    ),
    "version": ("1.0", "2.0", 1),
}
TEMPLATES = (
    "{{ bos_token }}{% for m in messages %}<|User|>{{ m.content }}{% endfor %}",
    "{% if tools %}{{ tools | tojson }}{% endif %}{{ messages[-1].content|trim }}{% if add_generation_prompt %}>{% endif %}\n\n",
    "\n  {% for m in messages %}\n    {{ m.role }}: {{ m.content or '' }}\n  {% endfor %}\n{{ undefined_name }}",
    "{% generation %}{% set x = 1 %}{{ messages[0].content }}{% endgeneration %}{{ x }}{{ strftime_now('%Y') }}",
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}",
    "{{ messages[0].no.such }}",
    "{% set n = namespace(_x=1) %}{{ n._x }}",
    "{{ enable_thinking }}{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}",
    "",
    "{% for m in messages %}{{ m.content }",
    "\ufeff{{ messages[0]['content'] }}<|User|>\r\n\r\n",
)


@dataclass(frozen=True)
class Mutated:
    """What was changed: a file's name and an entry of it each; no entry where the file as a whole is another."""

    changes: tuple[tuple[str, str], ...]

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.changes}


def mutated_generation_config(seed: int, folder: Path) -> Mutated:
    """Write one to the folder."""
    chance, path = random.Random(seed), folder / "generation_config.json"
    if chance.random() < 0.06:
        contents = chance.choice(["", "[]", "null", "{", '"x"', '{"a": }', "\ufeff{}", "\x00", '{"top_k": 01}'])
        path.write_text(contents, encoding="utf-8")
        return Mutated((("generation_config.json", ""),))
    fields = json.loads((NANO / "generation_config.json").read_text(encoding="utf-8"))
    keys = chance.sample(sorted(GENERATION), chance.choice((1, 1, 2, 3)))
    for key in keys:
        fields[key] = chance.choice(GENERATION[key] if chance.random() < 0.8 else ODD)
    if chance.random() < 0.3:
        fields.pop(chance.choice(sorted(fields)))
    path.write_text(json.dumps(fields), encoding="utf-8")
    return Mutated(tuple(("generation_config.json", key) for key in keys))


def mutated_text_files(seed: int, folder: Path) -> Mutated:
    """Write a checkpoint's text files to a new folder, one to three things changed in them."""
    chance = random.Random(seed)
    text_folder(folder)
    kinds: tuple[Callable[[random.Random, Path], tuple[str, str]], ...] = (
        _config,
        _config,
        _part,
        _tokens,
        _tokens,
        _templates,
        _files,
    )
    return Mutated(tuple(chance.choice(kinds)(chance, folder) for _ in range(chance.choice((1, 1, 1, 2, 3)))))


def _config(chance: random.Random, folder: Path) -> tuple[str, str]:
    key = chance.choice(sorted(CONFIG))
    value = chance.choice(CONFIG[key] if chance.random() < 0.8 else ODD)
    if key == "chat_template":
        (folder / "chat_template.jinja").unlink(missing_ok=True)
    return _edit(folder, "tokenizer_config.json", key, lambda fields: fields.update({key: value}))


def _part(chance: random.Random, folder: Path) -> tuple[str, str]:
    key = chance.choice(sorted(PARTS))
    value = chance.choice(PARTS[key] if chance.random() < 0.85 else ODD)
    return _edit(folder, "tokenizer.json", key, lambda fields: fields.update({key: value}))


def _tokens(chance: random.Random, folder: Path) -> tuple[str, str]:
    """An added token more or less, or with other flags; in ``tokenizer.json``, or in the config's list."""

    def edit(tokens: list[dict[str, Any]]) -> None:
        one = chance.choice(tokens)
        kind = chance.randrange(5)
        if kind < 2:
            flag = chance.choice(("lstrip", "rstrip", "single_word", "normalized", "special"))
            one[flag] = not one[flag]
        elif kind == 2:
            tokens.remove(one)
        elif kind == 3:
            tokens.append(
                {**one, "content": chance.choice(("[NEW]", " ", "é", "zq", "<")), "id": chance.choice((5, 600, 1279, 1280))}
            )
        else:
            key = chance.choice(sorted(one))
            one[key] = chance.choice(ODD)

    own = _fields(folder / "tokenizer.json")
    if not isinstance(own.get("added_tokens"), list) or not own["added_tokens"] or chance.random() < 0.5:
        listed = copy.deepcopy(json.loads((NANO / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"])
        edit(listed)
        decoder = {str(one.get("id")): {key: value for key, value in one.items() if key != "id"} for one in listed}
        key = "added_tokens_decoder"
        return _edit(folder, "tokenizer_config.json", key, lambda fields: fields.update({key: decoder}))
    return _edit(folder, "tokenizer.json", "added_tokens", lambda fields: edit(fields["added_tokens"]))


def _templates(chance: random.Random, folder: Path) -> tuple[str, str]:
    text = chance.choice(TEMPLATES).encode() if chance.random() < 0.95 else b"\xff\xfe"
    if chance.random() < 0.5:
        (folder / "chat_template.jinja").write_bytes(text)
        return "chat_template.jinja", ""
    (folder / "additional_chat_templates").mkdir(exist_ok=True)
    name = chance.choice(("tool_use", "tool_use", "default", "rag"))
    (folder / "additional_chat_templates" / f"{name}.jinja").write_bytes(text)
    return "additional_chat_templates", ""


def _files(chance: random.Random, folder: Path) -> tuple[str, str]:
    """A file of its own, away, or no JSON."""
    name = chance.choice(
        ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json", "chat_template.jinja")
    )
    if name == "special_tokens_map.json" and chance.random() < 0.8:
        key = chance.choice(("bos_token", "pad_token", "eos_token"))
        value = chance.choice(("<|User|>", "[NEW]", {"content": "<think>", "lstrip": True}, 5))
        return _edit(folder, name, key, lambda fields: fields.update({key: value}))
    if name == "added_tokens.json" and chance.random() < 0.8:
        key = chance.choice(("<|User|>", "[NEW]"))
        return _edit(folder, name, key, lambda fields: fields.update({key: chance.choice((2, 600, 1280, "x"))}))
    if chance.random() < 0.5:
        (folder / name).unlink(missing_ok=True)
    else:
        (folder / name).write_bytes(chance.choice((b"", b"[]", b"{}", b"{", b"\xff", b"null")))
    return name, ""


def _edit(folder: Path, file: str, key: str, change: Callable[[dict[str, Any]], object]) -> tuple[str, str]:
    path = folder / file
    fields = _fields(path)
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")
    return file, key


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def copied(folder: Path, to: Path) -> Path:
    """A whole checkpoint with the folder's text files."""
    shutil.copytree(folder, to)
    shutil.copyfile(NANO / "model.safetensors", to / "model.safetensors")
    return to
