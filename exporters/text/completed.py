"""Text files that say plainly what transformers makes of a checkpoint's.

Programs without transformers read ``tokenizer.json`` and ``tokenizer_config.json`` as they stand. transformers goes by more:
tokens that only ``added_tokens_decoder`` has, a ``tokenizer_class`` that rebuilds the tokenizer, templates in files of their own,
older vocabulary files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from youtu_onnx.core.bundle import names
from youtu_onnx.exporters.text.one_template import one_template
from youtu_onnx.exporters.text.theirs import Theirs
from youtu_onnx.text.json_file import read_json
from youtu_onnx.text.named_tokens import named_tokens
from youtu_onnx.text.template_files import DEFAULT

SAID_ELSEWHERE = ("added_tokens_decoder", "auto_map", "fast_tokenizer_files")
"""Of ``tokenizer_config.json``: what a ``tokenizer.json`` that is completed says itself."""


def complete(folder: Path, theirs: Theirs) -> bool:
    """Rewrite those of a folder's files that don't say what transformers makes of them; whether there were any."""
    changed = not _same_tokenizer(folder / names.TOKENIZER, theirs)
    config = read_json(folder / names.TOKENIZER_CONFIG)
    if not changed and named_tokens(config) == theirs.named and _same_templates(folder, config, theirs):
        return False
    if changed:
        (folder / names.TOKENIZER).write_bytes(theirs.serialized.encode())
        config = {name: value for name, value in config.items() if name not in SAID_ELSEWHERE}
        config["tokenizer_class"] = "PreTrainedTokenizerFast"  # which rebuilds nothing
    _write(folder, _with_names(folder, config, theirs), theirs.templates)
    return True


def _with_names(folder: Path, config: Mapping[str, Any], theirs: Theirs) -> dict[str, Any]:
    """The config with the tokens that transformers names: ``special_tokens_map.json``, which has some of them, won't be there."""
    older = {} if "added_tokens_decoder" in config else read_json(folder / names.SPECIAL_TOKENS_MAP)
    fields = {
        name: value for name, value in {**config, **older}.items() if isinstance(value, bool) or not name.endswith("_token")
    }
    known = named_tokens(fields)
    return fields | {name: text for name, text in theirs.named.items() if known.get(name) != text}


def _write(folder: Path, config: dict[str, Any], templates: Mapping[str, str] | None) -> None:
    for name in (names.SPECIAL_TOKENS_MAP, names.CHAT_TEMPLATE):
        (folder / name).unlink(missing_ok=True)
    config.pop("chat_template", None)
    if templates is not None:
        config["chat_template"] = one_template(templates)
        (folder / names.CHAT_TEMPLATE).write_bytes(one_template(templates).encode())
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / names.TOKENIZER_CONFIG).write_bytes(text.encode())


def _same_templates(folder: Path, config: Mapping[str, Any], theirs: Theirs) -> bool:
    """Whether all readers find transformers' only template, those too that look only into the file or only into the config."""
    path, listed = folder / names.CHAT_TEMPLATE, config.get("chat_template")
    found = [*([path.read_text(encoding="utf-8")] if path.is_file() else []), *([] if listed is None else [listed])]
    if theirs.templates is None:
        return not found
    return bool(found) and all(theirs.templates == {DEFAULT: one} for one in found)


def _same_tokenizer(path: Path, theirs: Theirs) -> bool:
    try:
        own = tokenizers.Tokenizer.from_file(str(path))
    except Exception:  # noqa: BLE001 - missing, or what only transformers makes something of
        return False
    return _essence(own) == _essence(tokenizers.Tokenizer.from_str(theirs.serialized))


def _essence(tokenizer: tokenizers.Tokenizer) -> str:
    """What a tokenizer does to texts, without what is done to batches."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if not tokenizer.num_special_tokens_to_add(is_pair=False):
        tokenizer.post_processor = None
    return tokenizer.to_str()
