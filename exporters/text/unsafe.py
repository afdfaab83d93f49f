"""What transformers is not asked to load: classes that are no tokenizers, and files outside the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import CheckpointError

SAVE_AGAIN = (
    "where it was made, save it again: AutoTokenizer.from_pretrained(…).save_pretrained(…); "
    "or compare it with the file that the model's authors publish"
)


def refuse_unsafe(folder: Path) -> None:
    """
    Raises:
        CheckpointError: an entry of a config would have transformers load something else than a tokenizer of this folder.
    """
    _refuse_paths(folder)
    for file in (names.TOKENIZER_CONFIG, names.CONFIG):
        name = _config(folder / file).get("tokenizer_class")
        if name is not None:
            _refuse_class(file, name)


def _refuse_paths(folder: Path) -> None:
    """Files of others have no place in a bundle, whatever transformers would read."""
    for key, value in _config(folder / names.TOKENIZER_CONFIG).items():
        # with a tokenizer.json, what else would be the vocabulary isn't read
        read = key == "fast_tokenizer_files" or (key.endswith("_file") and not (folder / names.TOKENIZER).is_file())
        listed = value if isinstance(value, list) else [value]
        outside = [name for name in listed if isinstance(name, str) and Path(name).name != name]
        if read and outside:
            raise CheckpointError(
                f"{names.TOKENIZER_CONFIG}: {key} is {outside[0]!r}; expected the name of a file beside it", hint=SAVE_AGAIN
            )


def _refuse_class(file: str, name: Any) -> None:
    """A name that is none of a tokenizer on the ``tokenizers`` library: transformers would take any class that it has."""
    from transformers import PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    try:
        kind = tokenizer_class_from_name(name)
    except Exception as error:  # a package of one model's tokenizer that isn't there
        raise CheckpointError(
            f"{file}: tokenizer_class is {name!r}, which transformers doesn't load ({error})", hint=SAVE_AGAIN
        ) from error
    fast = kind is None or (isinstance(kind, type) and issubclass(kind, PreTrainedTokenizerFast))
    if not fast and getattr(kind, "__name__", "") != "PythonBackend":  # the base class is read as the fast one
        raise CheckpointError(
            f"{file}: tokenizer_class is {name!r}, which does not work on the tokenizers library, as a bundle's must",
            hint=SAVE_AGAIN,
        )


def _config(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return fields
