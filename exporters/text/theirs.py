"""A checkpoint's tokenizer as transformers makes it: what a bundle's must equal.

Nothing of a checkpoint is run, unpickled or downloaded: only classes of transformers itself read its files, and only those that
work on the ``tokenizers`` library.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokenizers

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.exporters.text.corpus import Choice
from youtu_onnx.exporters.text.unsafe import SAVE_AGAIN, refuse_unsafe
from youtu_onnx.text.template_files import DEFAULT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Refused(Exception):
    """transformers' template refuses a conversation."""


@dataclass(frozen=True)
class Theirs:
    """transformers' tokenizer of a folder.

    Attributes:
        serialized: the ``tokenizer.json`` that says all that it does to texts.
        named: the named tokens that templates read.
        templates: by name; None where there is none.
    """

    tokenizer: PreTrainedTokenizerFast
    serialized: str
    named: Mapping[str, str]
    templates: Mapping[str, str] | None

    @classmethod
    def load(cls, folder: Path) -> Theirs:
        """
        Raises:
            CheckpointError: transformers makes no tokenizer of the folder, or one that only runs in transformers.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise CheckpointError(
                f"comparing tokenizers needs transformers ({error})", hint="pip install 'youtu-onnx[export]'"
            ) from error
        refuse_unsafe(folder)
        try:
            made: Any = AutoTokenizer.from_pretrained(str(folder.resolve()), local_files_only=True, trust_remote_code=False)
            backend: tokenizers.Tokenizer = made.backend_tokenizer
            serialized, named, templates = backend.to_str(), made.special_tokens_map, made.chat_template
        except Exception as error:  # of many classes, for files that are anybody's
            raise _refusal(folder, error) from error
        templates = {DEFAULT: templates} if isinstance(templates, str) else templates
        if templates is not None:
            _check_templates(folder, templates)
        return cls(made, serialized, named, templates)

    @property
    def tokens(self) -> dict[str, int]:
        """Every token's text → id."""
        return self.tokenizer.get_vocab()

    @property
    def added(self) -> list[str]:
        """Texts of the added tokens, in order of their ids."""
        return [token.content for _, token in sorted(self.tokenizer.added_tokens_decoder.items())]

    def encode(self, text: str, *, frame: bool = False) -> list[int]:
        """Token ids; added tokens' literals are those tokens. ``frame``: with what goes around a whole text.

        Raises:
            CheckpointError: transformers encodes nothing.
        """
        try:
            ids: list[int] = self.tokenizer(text, add_special_tokens=frame)["input_ids"]
        except Exception as error:  # its settings are looked at when they are first used
            raise CheckpointError(
                f"transformers encodes no text with it ({type(error).__name__}: {error})", hint=SAVE_AGAIN
            ) from error
        return ids

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=skip_special))

    def render(self, messages: list[dict[str, Any]], choice: Choice) -> str:
        """The conversation as text.

        Raises:
            Refused: by the template.
            CheckpointError: transformers can't render any.
        """
        options: dict[str, Any] = {"tools": choice.schemas, "add_generation_prompt": choice.add_generation_prompt}
        options |= {} if choice.thinking is None else {"enable_thinking": choice.thinking}
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, **options)
        except ImportError as error:
            raise CheckpointError(f"transformers renders no chat template: {error}", hint="pip install -U jinja2") from error
        except Exception as error:  # a template is a program
            raise Refused(f"{type(error).__name__}: {error}") from error
        return str(text)


def _check_templates(folder: Path, templates: Any) -> None:
    texts = [text for both in templates.items() for text in both] if isinstance(templates, dict) else [None]
    if not all(isinstance(text, str) for text in texts) or DEFAULT not in templates:
        own = any((folder / names.ADDITIONAL_CHAT_TEMPLATES).glob("*.jinja"))
        raise CheckpointError(
            f"{names.ADDITIONAL_CHAT_TEMPLATES if own else names.TOKENIZER_CONFIG}: chat_template is neither a template, "
            f"nor named ones with one called {DEFAULT!r}",
            hint=SAVE_AGAIN,
        )


def _refusal(folder: Path, error: Exception) -> CheckpointError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    if "trust_remote_code" in said:
        return CheckpointError(
            "it asks for code of its own, and none from a checkpoint runs here",
            hint=f"where you trust it, save the tokenizer as one on the tokenizers library: its {names.TOKENIZER} is enough",
        )
    if (folder / names.TOKENIZER).is_file():
        return CheckpointError(f"transformers makes no tokenizer of it ({said[:300]})", hint=SAVE_AGAIN)
    return CheckpointError(
        f"it has no {names.TOKENIZER}, and transformers makes none of its other files ({said[:300]})",
        hint=f"pip install sentencepiece protobuf tiktoken, and name the tokenizer_class in {names.TOKENIZER_CONFIG}; "
        "or where it was made: AutoTokenizer.from_pretrained(…).save_pretrained(…)",
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers' remarks are about its own use of a tokenizer, not for the user of an export."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
