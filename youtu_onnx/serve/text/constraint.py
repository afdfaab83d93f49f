"""What a reply has to obey, as grammars of llguidance: JSON of a schema, and tool calls.

llguidance and not xgrammar: it takes the tokenizer's own JSON and numpy arrays, where xgrammar brings torch.

A model that thinks may think first: the grammar lets one ``<think>…</think>`` pass freely and binds what follows. Tags
are tokens in it, and free text can't spell them, so that the grammar and the readers of the text never disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import llguidance
import numpy as np

from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.text.model_text import ModelText

Thinking = Literal["open", "possible", "none"]
"""The prompt ended inside of it; the model may begin with it; there is none."""

WRITING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One way to write JSON: a model can't fill its reply with white space."""

LIMITS = llguidance.LLParserLimits(
    max_items_in_row=2000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=100_000,
)


@dataclass(frozen=True)
class Function:
    """A tool as a grammar sees it. ``strict``: its schema has to be obeyed to the letter, or the request refused."""

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


class Grammars:
    """Makes constraints for one model."""

    def __init__(self, text: ModelText, vocab_size: int) -> None:
        self._text, self._vocab_size = text, vocab_size
        self._tokenizer = llguidance.LLTokenizer(text.tokenizer.serialized, n_vocab=vocab_size, eos_token=sorted(text.eos_ids))

    def token_bytes(self, id_: int) -> bytes:
        """What a token stands for; of one beyond the tokenizer's, nothing."""
        return self._tokenizer.decode_bytes([id_]) if id_ < self._tokenizer.vocab_size else b""

    def json(self, schema: Mapping[str, Any], *, thinking: Thinking, strict: bool = True) -> GrammarConstraint:
        """An answer that is JSON of a schema.

        Args:
            strict: refuse schemas with words that can't be enforced; else those words are passed over.

        Raises:
            UsageError: a schema that can't be enforced.
        """
        return self._constraint(f"{_start(thinking, self._text.thinks)} answer\nanswer: {_json(schema, strict)}", "the schema")

    def calls(self, functions: Sequence[Function], *, required: bool, parallel: bool, thinking: Thinking) -> GrammarConstraint:
        """An answer in which each tool call names a function and has its arguments.

        Args:
            required: a call and nothing else; otherwise text, which calls may follow.
            parallel: more than one call.

        Raises:
            UsageError: parameters that can't be enforced.
        """
        more = "more*" if parallel else ""
        text = "" if required else "PLAIN | PLAIN? "
        rules = [
            f"{_start(thinking, self._text.thinks)} ( {text}<tool_call> body {more} )",
            r"PLAIN: /(?s:.*)/ & ~/(?s:.*<tool_call>.*)/ & ~/\s*<think>(?s:.*)/",
            r"more: /\n?/ <tool_call> body",
            r"body: /\n?/ ( " + " | ".join(f"call{n}" for n in range(len(functions))) + r" ) /\n?/ </tool_call>",
        ]
        for number, function in enumerate(functions):
            head = json.dumps(f'{{"name": {json.dumps(function.name)}, "arguments": ')
            schema = function.parameters or {"type": "object", "properties": {}}
            rules.append(f'call{number}: {head} {_json(schema, function.strict)} "}}"')
        if required:
            del rules[1]
        if not parallel:
            rules = [rule for rule in rules if not rule.startswith("more:")]
        return self._constraint("\n".join(rules), "the tools' parameters")

    def _constraint(self, lark: str, what: str) -> GrammarConstraint:
        grammar = llguidance.LLMatcher.grammar_from_lark(lark)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)
        if matcher.is_error():
            # the first line says what is wrong; those after it quote the grammar
            message = matcher.get_error().splitlines()[0].split("JSON schema: ")[-1]
            raise UsageError(f"{what} can't be enforced: {message[:300]}", hint="use keywords that docs/serve.md lists")
        return GrammarConstraint(matcher, self._vocab_size, min(self._text.eos_ids))


class GrammarConstraint:
    """One reply's progress through a grammar. See ``engine.Constraint``.

    Attributes:
        failure: why the grammar gave up, which ends the reply; None while it holds.
    """

    def __init__(self, matcher: llguidance.LLMatcher, vocab_size: int, end_id: int) -> None:
        self._matcher, self._vocab_size, self._end_id = matcher, vocab_size, end_id
        self.failure: str | None = None

    def copy(self) -> GrammarConstraint:
        """For another reply, from where this one is."""
        return GrammarConstraint(self._matcher.deep_copy(), self._vocab_size, self._end_id)

    def allowed(self) -> np.ndarray:
        packed = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask = np.unpackbits(packed, count=self._vocab_size, bitorder="little").view(bool)
        if self._matcher.is_error() or not mask.any():
            self.failure = self._matcher.get_error() or "no token goes on from here"
            mask = np.zeros(self._vocab_size, bool)
            mask[self._end_id] = True
        return mask

    def accept(self, id_: int) -> None:
        if self.failure is None and not self._matcher.consume_token(id_):
            self.failure = self._matcher.get_error() or f"token {id_} is not allowed"


def _start(thinking: Thinking, thinks: bool) -> str:
    """The grammar's rules for thinking, and the beginning of the rule ``start``, which the caller goes on with."""
    if thinking == "none" or not thinks:
        return "start:"
    inside = r"INSIDE: /(?s:.*)/ & ~/(?s:.*<\/think>.*)/" + "\n"
    tail = r"</think> /\n{0,2}/"
    if thinking == "open":
        return f"{inside}thought: INSIDE {tail}\nstart: thought"
    return f"{inside}thought: <think> INSIDE {tail}\nstart: thought?"


def _json(schema: Mapping[str, Any], strict: bool) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": WRITING | ({} if strict else {"lenient": True})})
