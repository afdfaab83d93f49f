"""Conversations → prompts, by a bundle's chat template and by transformers'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from youtu_onnx.core.errors import UsageError
from youtu_onnx.exporters.text.corpus import CHOICES, SHAPES, TEXTS, TOOL, Choice, long_conversation
from youtu_onnx.exporters.text.sentences import OTHERWISE, ids_differ, texts_differ
from youtu_onnx.exporters.text.theirs import Refused, Theirs
from youtu_onnx.text import ChatTemplate, Prompt, Tokenizer
from youtu_onnx.text.messages import clean_messages

TRIES = 3
"""Renderings of a conversation that differ: a template that writes the time may come upon a new second."""
Messages = list[dict[str, Any]]
T = TypeVar("T")


def chat_difference(theirs: Theirs, tokenizer: Tokenizer, template: ChatTemplate | None) -> str | None:
    """A sentence with a conversation, and what the two make of it; None where they agree on all of the corpus."""
    if theirs.templates is None or template is None:
        one, other = ("no", "one") if theirs.templates is None else ("a", "none")
        return (
            None
            if theirs.templates is None and template is None
            else f"transformers has {one} chat template, a bundle would have {other}"
        )
    compared = _Comparison(theirs, tokenizer, template)
    texts = [text for text in TEXTS if not compared.holds_literals(text)]
    refusal = ""
    for number, messages in enumerate((*SHAPES, long_conversation(texts))):
        cleaned = clean_messages(messages)  # which forms a message may have is no matter of the template
        for choice in CHOICES if number < len(SHAPES) else CHOICES[:: len(CHOICES) // 2]:
            found = compared.difference(cleaned, choice)
            if found is not None:
                roles = ", ".join(str(message["role"]) for message in messages)
                return f"{OTHERWISE}: a conversation of {roles}{choice} {found}"
            refusal = refusal or compared.refusal
        if number == 1 and not compared.rendered:
            return f"the chat template renders no conversation ({refusal})"
    return None


@dataclass
class _Comparison:
    """Of one conversation after the other.

    Attributes:
        refusal: what transformers said where both refused the last one, else nothing.
        rendered: whether any was rendered.
    """

    theirs: Theirs
    tokenizer: Tokenizer
    template: ChatTemplate
    refusal: str = ""
    rendered: bool = False

    def difference(self, messages: Messages, choice: Choice) -> str | None:
        """How the two differ in one conversation: the end of a sentence about it."""
        for _ in range(TRIES):
            wanted, found = _tried(lambda: self.theirs.render(messages, choice)), _tried(lambda: self._prompt(messages, choice))
            if wanted.made == (found.made and found.made.text):
                break
        self.refusal = wanted.refusal if wanted.made is None else ""
        self.rendered |= wanted.made is not None
        if wanted.made is None or found.made is None:
            if wanted.made is not None:
                return f"is rendered by transformers, and refused in the bundle ({found.refusal})"
            return None if found.made is None else f"is refused by transformers ({wanted.refusal}), and rendered in the bundle"
        if wanted.made != found.made.text:
            return texts_differ("as text", wanted.made, found.made.text)
        # Literals of tokens in a message are no tokens here, on purpose
        if self.holds_literals([messages, TOOL if choice.tools else None]):
            return None
        ids = self.theirs.encode(wanted.made)
        return None if ids == found.made.token_ids else ids_differ("in ids", ids, found.made.token_ids)

    def holds_literals(self, value: Any) -> bool:
        return any(self.tokenizer.replace_literals(text, lambda _: "") != text for text in _strings(value))

    def _prompt(self, messages: Messages, choice: Choice) -> Prompt:
        return self.template.prompt(
            messages,
            add_generation_prompt=choice.add_generation_prompt,
            enable_thinking=choice.thinking,
            tools=choice.schemas,
        )


@dataclass(frozen=True)
class _Tried(Generic[T]):
    """What was made, or the refusal."""

    made: T | None
    refusal: str = ""


def _tried(make: Callable[[], T]) -> _Tried[T]:
    try:
        return _Tried(make())
    except (Refused, UsageError) as error:
        return _Tried(None, str(error).partition("\n")[0])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings([*value, *value.values()])
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
