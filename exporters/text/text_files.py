"""The files of a bundle that turn text into ids: the checkpoint's own, or completed where those say it in transformers' terms."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError, CheckpointError
from youtu_onnx.exporters.text.blame import Entry, culprits
from youtu_onnx.exporters.text.chat_agreement import chat_difference
from youtu_onnx.exporters.text.completed import complete
from youtu_onnx.exporters.text.json_files import FILES, check_json
from youtu_onnx.exporters.text.text_agreement import text_difference
from youtu_onnx.exporters.text.theirs import Theirs, quiet
from youtu_onnx.exporters.text.unsafe import SAVE_AGAIN
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.json_file import read_json
from youtu_onnx.text.template_files import DEFAULT, TOOL_USE, chat_templates

CARRIED = (names.TOKENIZER, names.TOKENIZER_CONFIG, names.SPECIAL_TOKENS_MAP, names.CHAT_TEMPLATE)
CONFIGS = FILES[1:]
KNOWN = (*FILES, names.CONFIG, names.CHAT_TEMPLATE, names.ADDITIONAL_CHAT_TEMPLATES)


@dataclass(frozen=True)
class TextFiles:
    """Files with which a bundle makes the ids that transformers makes of a checkpoint.

    Attributes:
        contents: by name.
        remarks: what is not the checkpoint's own, for who exports it.
    """

    contents: Mapping[str, bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def text_files(folder: Path, vocab_size: int) -> TextFiles:
    """
    Raises:
        CheckpointError: that can't be had; it shows a text and both ids, or says what is wrong in the files.
    """
    for name in FILES:
        check_json(folder / name)
    with quiet():
        try:
            return _text_files(folder, vocab_size)
        except CheckpointError as error:
            raise _with_its_entry(error, folder, vocab_size) from error


def _with_its_entry(error: CheckpointError, folder: Path, vocab_size: int) -> CheckpointError:
    """The error with the file and the entry in front that it is due to."""
    file, colon, said = error.message.partition(": ")
    if not colon or file not in KNOWN:
        file, said = "", error.message
    found = _culprits(folder, error.message, vocab_size)
    if found and not any(one.key and f"{one.key} is" in said for one in found):
        file, also = found[0].file, [f"with {one.file}: {one}" if one.file != found[0].file else str(one) for one in found[1:]]
        said = f"{', '.join([str(found[0]), *also])}: {said}"
    return CheckpointError(f"{folder / file}: {said}", hint=error.hint)


def _text_files(folder: Path, vocab_size: int) -> TextFiles:
    theirs = Theirs.load(folder)
    _refuse_chance(theirs)
    _refuse_tokens_beyond(folder, theirs, vocab_size)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        for name in (*CARRIED, names.CONFIG):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, made / name)
        completed = complete(made, theirs)
        _refuse_difference(folder, made, theirs)
        if completed:
            _refuse_what_reads_otherwise(made, theirs)
        contents = {name: (made / name).read_bytes() for name in CARRIED if (made / name).is_file()}
    return TextFiles(contents, tuple(_remarks(folder, contents, theirs)))


def _remarks(folder: Path, contents: Mapping[str, bytes], theirs: Theirs) -> Iterator[str]:
    changed = [name for name, made in contents.items() if not (folder / name).is_file() or (folder / name).read_bytes() != made]
    if changed:
        yield f"{', '.join(changed)}: with what transformers makes of the checkpoint's text files"
    unused = sorted(set(theirs.templates or ()) - {DEFAULT, TOOL_USE})
    if unused:
        yield f"chat templates that only callers of transformers can choose are left out: {', '.join(unused)}"
    if theirs.templates is None and (folder / "chat_template.json").is_file():
        yield "chat_template.json is left out: transformers' tokenizers don't read it, so the model has no chat template"


def _culprits(folder: Path, message: str, vocab_size: int) -> list[Entry]:
    try:
        Theirs.load(folder)
    except CheckpointError:
        found = culprits(folder, message, (*CONFIGS, names.TOKENIZER), Theirs.load)
        own = read_json(folder / names.TOKENIZER)  # an entry that nothing can stand in for
        return found or ([Entry(names.TOKENIZER, "model", own.get("model"))] if own else [])
    return culprits(folder, message, CONFIGS, lambda copy: _text_files(copy, vocab_size))


def _refuse_difference(folder: Path, made: Path, theirs: Theirs) -> None:
    try:
        tokenizer = Tokenizer.open(made)
        template = ChatTemplate.open(made, tokenizer)
        found = text_difference(theirs, tokenizer)
        where = names.TOKENIZER
        if not found:
            found = chat_difference(theirs, tokenizer, template)
            where = _where_templates_are(folder)
    except BundleError as error:
        raise CheckpointError(error.message.replace(f"{made}{os.sep}", ""), hint=SAVE_AGAIN) from error
    if found:
        raise CheckpointError(f"{where}: {found}", hint=SAVE_AGAIN)


def _where_templates_are(folder: Path) -> str:
    try:
        found = chat_templates(folder)
    except BundleError:
        found = None
    return names.TOKENIZER_CONFIG if found is None else found[1].name


def _refuse_what_reads_otherwise(made: Path, theirs: Theirs) -> None:
    """transformers reads bundles, too."""
    again, tokenizer = Theirs.load(made), Tokenizer.open(made)
    found = "other named tokens" if again.named != theirs.named else text_difference(again, tokenizer)
    found = found or chat_difference(again, tokenizer, ChatTemplate.open(made, tokenizer))
    if found:
        raise CheckpointError(
            f"what transformers makes of it can't be written in a {names.TOKENIZER}, where it reads otherwise: {found}",
            hint=SAVE_AGAIN,
        )


def _refuse_chance(theirs: Theirs) -> None:
    dropout = json.loads(theirs.serialized)["model"].get("dropout")
    if dropout:
        raise CheckpointError(
            f"{names.TOKENIZER}: model.dropout is {dropout}, so a text has other ids each time",
            hint="write null: dropout is for training",
        )


def _refuse_tokens_beyond(folder: Path, theirs: Theirs, vocab_size: int) -> None:
    """A text can become them, and the embedding has no row for them."""
    beyond = sorted((id_, text) for text, id_ in theirs.tokens.items() if id_ >= vocab_size)
    if not beyond:
        return
    some = ", ".join(f"{text!r} ({id_})" for id_, text in beyond[:3]) + ", …" * (len(beyond) > 3)
    count = "a token has" if len(beyond) == 1 else f"{len(beyond)} tokens have"
    raise CheckpointError(
        f"{_holder(folder, beyond[0][1])}{count} no row in the embedding, whose vocab_size is {vocab_size}: {some}",
        hint="where it was trained: model.resize_token_embeddings(len(tokenizer)); or remove what adds the token",
    )


def _holder(folder: Path, token: str) -> str:
    """Where a token stands, as far as that is ``tokenizer.json``: the beginning of a sentence."""
    own = read_json(folder / names.TOKENIZER)
    if any(one["content"] == token for one in own.get("added_tokens", ())):
        return f"{names.TOKENIZER}: added_tokens: "
    return f"{names.TOKENIZER}: model.vocab: " if token in own.get("model", {}).get("vocab", ()) else ""
