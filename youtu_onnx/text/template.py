"""Messages → prompt tokens, through the checkpoint's own chat template.

The rendering equals transformers' ``apply_chat_template``. On top of it, nothing that a message says can act as a
control token: a literal ``<|Assistant|>`` in a user's text is swapped for a random word before rendering and comes
back, as ordinary characters, when the rendered text is tokenized.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.text.environment import environment
from youtu_onnx.text.messages import REASONING_FIELDS, clean_messages, clean_tools
from youtu_onnx.text.named_tokens import STANDARD
from youtu_onnx.text.template_files import DEFAULT, TOOL_USE, chat_templates
from youtu_onnx.text.thinking import OPEN
from youtu_onnx.text.tokenizer import Tokenizer

OWN_TAG = re.compile(r"</?(think|tool_calls?|function(_call)?|parameter|arg_(key|value))\b[^<|>]*>")
"""Tokens that an assistant's own text may hold: its thinking and its calls; never roles, ends or tool results."""

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
"""Words that templates compare with; they stay as they are even if a token is called so."""


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation. ``thinking``: the prompt ends inside an open ``<think>``."""

    text: str
    token_ids: list[int]
    thinking: bool


class ChatTemplate:
    """The chat template of a folder, bound to its tokenizer."""

    def __init__(self, templates: Mapping[str, str], tokenizer: Tokenizer, *, where: str = names.CHAT_TEMPLATE) -> None:
        """``templates``: by name; ``default`` must be there, ``tool_use`` is taken for calls with tools.

        Raises:
            BundleError: a template has a syntax error.
        """
        self._tokenizer = tokenizer
        self._framing = {tokenizer.named[name] for name in STANDARD if name in tokenizer.named}
        jinja = environment()
        try:
            self._templates = {name: jinja.from_string(source) for name, source in templates.items()}
        except Exception as error:  # Jinja's errors, and Python's of what it compiles a template to
            raise BundleError(
                f"the chat template of {where} can't be read: {error}", hint="copy or export the folder again"
            ) from error

    @classmethod
    def open(cls, folder: str | Path, tokenizer: Tokenizer) -> ChatTemplate | None:
        """The folder's templates, where :func:`chat_templates` finds any, else None.

        Raises:
            BundleError: they can't be read.
        """
        found = chat_templates(Path(folder))
        if found is None:
            return None
        templates, where = found
        return cls(templates, tokenizer, where=str(where))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The conversation as text, character for character what transformers renders.

        The text alone no longer tells a message's characters from the template's: tokenize with :meth:`encode_chat`.

        Raises:
            UsageError: messages that are malformed, or that the template refuses.
        """
        return self._render(clean_messages(messages), clean_tools(tools), add_generation_prompt, enable_thinking)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """The token ids of :meth:`prompt`."""
        return self.prompt(
            messages, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking, tools=tools
        ).token_ids

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        enable_thinking: bool | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Prompt:
        """Messages → prompt. ``enable_thinking`` None leaves the choice to the template.

        Raises:
            UsageError: messages that are malformed, or that the template refuses.
        """
        cleaned, cleaned_tools = clean_messages(messages), clean_tools(tools)
        nonce = _unused_word(json.dumps([cleaned, cleaned_tools], ensure_ascii=False))
        literals: list[str] = []

        def swap(value: Any, own: bool = False) -> Any:
            if isinstance(value, str):
                return self._tokenizer.replace_literals(value, lambda literal: keep(literal, own))
            if isinstance(value, dict):
                return {swap(key): swap(item) for key, item in value.items()}
            return [swap(item) for item in value] if isinstance(value, list) else value

        def keep(literal: str, own: bool) -> str:
            if own and OWN_TAG.fullmatch(literal) and literal not in self._framing:
                return literal
            literals.append(literal)
            return f"{nonce}{len(literals) - 1}z"

        swapped = [
            {
                key: value
                if key == "role" and value in ROLES
                else swap(value, message["role"] == "assistant" and key in ("content", *REASONING_FIELDS))
                for key, value in message.items()
            }
            for message in cleaned
        ]
        marked = self._render(swapped, swap(cleaned_tools), add_generation_prompt, enable_thinking)
        ids: list[int] = []
        text = ""
        for piece, is_literal in _pieces(marked, nonce, literals):
            text += piece
            if piece:
                ids += self._tokenizer.encode(piece, special=not is_literal)
        return Prompt(text, ids, thinking=add_generation_prompt and marked.rstrip().endswith(OPEN))

    def _render(
        self, messages: list[dict[str, Any]], tools: list[Any] | None, add_generation_prompt: bool, enable_thinking: bool | None
    ) -> str:
        template = self._templates[DEFAULT]
        if tools is not None:
            template = self._templates.get(TOOL_USE, template)
        choices = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        try:
            return template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._tokenizer.named,
                **choices,
            )
        except Exception as error:  # a template is a program: whatever it raises is about these messages
            raise UsageError(
                f"the model's chat template refuses these messages: {error}",
                hint="check the roles and their order: system, then user and assistant in turn",
            ) from error


def _pieces(marked: str, nonce: str, literals: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """What a template wrote, and between it the literals that its marks stand for (True).

    Without a pattern: one for each nonce would push others out of the cache that ``re`` has.
    """
    first, *others = marked.split(nonce)
    yield first, False
    for other in others:
        number, end, after = other.partition("z")
        if end and number.isdecimal() and number.isascii() and int(number) < len(literals):
            yield literals[int(number)], True
            yield after, False
        else:  # a template that cuts texts cut through a mark
            yield nonce + other, False


def _unused_word(text: str) -> str:
    """A word of letters that doesn't occur in the text; it is random, so no message can foresee it."""
    while (word := "q" + secrets.token_hex(8).translate(str.maketrans("0123456789", "ghijklmnop")) + "x") in text:
        continue
    return word
