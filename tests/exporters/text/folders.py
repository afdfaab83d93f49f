"""Folders of a checkpoint's text files, made of youtu-nano's: no weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from youtu_onnx.exporters.text.text_files import TextFiles
from youtu_onnx.text import ChatTemplate, Tokenizer

NANO = Path(__file__).parents[3] / "youtu_onnx" / "models" / "youtu_nano"
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
VOCAB_SIZE = 1280
USER = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]

Change = Callable[[dict[str, Any]], Any]


def text_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(NANO / name, folder / name)
    return folder


def change(path: Path, edit: Change) -> None:
    """Edit a JSON object in its file."""
    fields = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    edit(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def only_in_the_config(folder: Path, token: str, id_: int) -> None:
    """``tokenizer.json`` has a token as an ordinary one of its vocabulary; ``tokenizer_config.json`` says that it is special."""
    own = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    listed = {str(one["id"]): {key: value for key, value in one.items() if key != "id"} for one in own["added_tokens"]}
    own["added_tokens"] = [one for one in own["added_tokens"] if one["content"] != token]
    own["model"]["vocab"][token] = id_
    (folder / "tokenizer.json").write_text(json.dumps(own), encoding="utf-8")
    change(folder / "tokenizer_config.json", lambda config: config.update(added_tokens_decoder=listed))


def written(files: TextFiles, folder: Path) -> tuple[Tokenizer, ChatTemplate | None]:
    """What a bundle with these files encodes and renders with."""
    folder.mkdir()
    shutil.copyfile(NANO / "config.json", folder / "config.json")
    for name, contents in files.contents.items():
        (folder / name).write_bytes(contents)
    tokenizer = Tokenizer.open(folder)
    return tokenizer, ChatTemplate.open(folder, tokenizer)
