"""What a reply has to obey, as grammars of llguidance: JSON of a schema, and tool calls.

llguidance and not xgrammar: it takes the tokenizer's own JSON and numpy arrays, where xgrammar brings torch.

A model that thinks may think first: the grammar lets one ``<think>…</think>`` pass freely and binds what follows. Tags
are tokens in it, and free text can't spell them, so that the grammar and the readers of the text never disagree.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

import llguidance
import numpy as np

from youtu_onnx.core.errors import UsageError
from youtu_onnx.text.enforceable import Enforceable
from youtu_onnx.text.tokenizer import Tokenizer

Thinking = Literal["open", "possible", "none"]
"""The prompt ended inside of it; the model may begin with it; there is none."""


def thinking_of(prompt_is_inside: bool, enabled: bool | None) -> Thinking:
    """Of a reply to a prompt that ends inside of an open block or not; ``enabled``: what the chat template was told, if anything.
    Where thinking was switched off, the prompt ends after an empty block of it."""
    return "open" if prompt_is_inside else "none" if enabled is False else "possible"


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


ANY_OBJECT: Mapping[str, Any] = {"type": "object", "properties": {}}


KNOWN_SCHEMAS, KNOWN_CHARACTERS = 256, 20_000
"""So many schemas are remembered with what of them can be enforced, unless they are longer."""


@dataclass(frozen=True)
class Function:
    """A tool as a grammar sees it. ``strict``: its schema has to be obeyed to the letter, or the request refused."""

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True)
class Form:
    """What an answer has to be. ``rule``: the right side of a rule of llguidance's."""

    rule: str


class Spoken(Protocol):
    """What grammars go by of a model's text. ``thinks``: whether the tags around thinking are tokens."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def eos_ids(self) -> Collection[int]: ...

    @property
    def thinks(self) -> bool: ...


class Grammars:
    """Makes constraints for one model."""

    def __init__(self, text: Spoken, vocab_size: int) -> None:
        self._text, self._vocab_size = text, vocab_size
        self._known = lru_cache(KNOWN_SCHEMAS)(self._searched)  # an agent's requests have the same tools
        self._tokenizer = llguidance.LLTokenizer(text.tokenizer.serialized, n_vocab=vocab_size, eos_token=sorted(text.eos_ids))

    def token_bytes(self, id_: int) -> bytes:
        """What a token stands for; of one beyond the tokenizer's, nothing."""
        return self._tokenizer.decode_bytes([id_]) if id_ < self._tokenizer.vocab_size else b""

    def json(self, schema: Mapping[str, Any], *, thinking: Thinking, strict: bool = True) -> GrammarConstraint:
        """An answer that is JSON of a schema.

        Raises:
            UsageError: as :meth:`form` raises it.
        """
        return self.answer(self.form(schema, strict=strict), thinking=thinking)

    def form(self, schema: Mapping[str, Any], *, strict: bool) -> Form:
        """What an answer has to be.

        Args:
            strict: refuse schemas with words that can't be enforced; else those words are passed over.

        Raises:
            UsageError: a schema that can't be enforced, or of which nothing can.
        """
        left = self._enforceable(schema, "the schema", strict)
        if left.omissions and not left.schema:
            raise _not_enforced("the schema", left)
        return Form(_json(left.schema, strict))

    def answer(self, form: Form, *, thinking: Thinking) -> GrammarConstraint:
        """An answer of that form and nothing else."""
        return self._constraint(f"{_start(thinking, self._text.thinks)} answer\nanswer: {form.rule}")

    def calls(
        self, functions: Sequence[Function], *, required: bool, parallel: bool, thinking: Thinking, form: Form | None = None
    ) -> GrammarConstraint:
        """An answer in which each tool call names a function and has its arguments.

        Args:
            required: a call and nothing else; otherwise text, which calls may follow.
            parallel: more than one call.
            form: of an answer that is no call; None: any text.

        Raises:
            UsageError: parameters of a strict function that can't be enforced, or too many of all functions.
        """
        more = "more*" if parallel else ""
        calls = f"<tool_call> body {more}"
        start = _start(thinking, self._text.thinks)
        if required:
            rules = [f"{start} ( {calls} )"]
        elif form is not None:
            rules = [f"{start} ( answer | {calls} )", f"answer: {form.rule}"]
        else:
            rules = [f"{start} ( PLAIN | PLAIN? {calls} )", r"PLAIN: /(?s:.*)/ & ~/(?s:.*<tool_call>.*)/ & ~/\s*<think>(?s:.*)/"]
        if parallel:
            rules.append(r"more: /\n?/ <tool_call> body")
        rules.append(r"body: /\n?/ ( " + " | ".join(f"call{n}" for n in range(len(functions))) + r" ) /\n?/ </tool_call>")
        parameters = [self._parameters(function) for function in functions]
        try:
            return self._constraint("\n".join([*rules, *map(_call, range(len(functions)), functions, parameters)]))
        except UsageError:  # each can be enforced, and all together can't
            parameters = [one if function.strict else ANY_OBJECT for function, one in zip(functions, parameters, strict=True)]
            return self._constraint("\n".join([*rules, *map(_call, range(len(functions)), functions, parameters)]))

    def _parameters(self, function: Function) -> Mapping[str, Any]:
        schema = function.parameters or ANY_OBJECT
        left = self._enforceable(schema, f"the parameters of {function.name}", function.strict).schema
        return left if isinstance(left, Mapping) and left else ANY_OBJECT

    def _enforceable(self, schema: Mapping[str, Any], what: str, strict: bool) -> Enforceable:
        text = json.dumps(schema)
        left = (self._known if len(text) < KNOWN_CHARACTERS else self._searched)(text, strict)
        if strict and left.omissions:
            raise _not_enforced(what, left)
        return left

    def _searched(self, schema: str, strict: bool) -> Enforceable:
        return Enforceable.of(json.loads(schema), lambda part: self._fault(f"start: {_json(part, strict)}"))

    def _fault(self, lark: str) -> str | None:
        matcher = self._matcher(lark)
        if not matcher.is_error():
            return None
        # the first line says what is wrong, or the last one, after a quotation with a mark below it
        lines = [line for line in matcher.get_error().splitlines() if line.strip()]
        wrong = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines
        return wrong[0].split("JSON schema: ")[-1][:300]

    def _constraint(self, lark: str) -> GrammarConstraint:
        matcher = self._matcher(lark)
        if matcher.is_error():
            raise UsageError(f"the schemas can't be enforced together: {self._fault(lark)}", hint="send fewer or smaller ones")
        return GrammarConstraint(matcher, self._vocab_size, min(self._text.eos_ids))

    def _matcher(self, lark: str) -> llguidance.LLMatcher:
        grammar = llguidance.LLMatcher.grammar_from_lark(lark)
        return llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)


NOTHING_GOES_ON = "no text that goes on from here obeys it"


class GrammarConstraint:
    """One reply's progress through a grammar.

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
            self.failure = self._why() or NOTHING_GOES_ON
            mask = np.zeros(self._vocab_size, bool)
            mask[self._end_id] = True
        return mask

    def accept(self, id_: int) -> None:
        if self.failure is None and not self._matcher.consume_token(id_):
            self.failure = self._why() or f"token {id_} is not allowed"

    def _why(self) -> str:
        """In a line; those after the first show the parser's state."""
        why = self._matcher.get_error().partition("\n")[0][:300]
        return NOTHING_GOES_ON if why == "NoExtensionBias" else why


def _start(thinking: Thinking, thinks: bool) -> str:
    """The grammar's rules for thinking, and the beginning of the rule ``start``, which the caller goes on with."""
    if thinking == "none" or not thinks:
        return "start:"
    inside = r"INSIDE: /(?s:.*)/ & ~/(?s:.*<\/think>.*)/" + "\n"
    tail = r"</think> /\n{0,2}/"
    if thinking == "open":
        return f"{inside}thought: INSIDE {tail}\nstart: thought"
    return f"{inside}thought: <think> INSIDE {tail}\nstart: thought?"


def _json(schema: Any, strict: bool) -> str:
    fields = schema if isinstance(schema, Mapping) else {"allOf": [schema]}
    return "%json " + json.dumps({**fields, "x-guidance": WRITING | ({} if strict else {"lenient": True})})


def _call(number: int, function: Function, parameters: Mapping[str, Any]) -> str:
    head = json.dumps(f'{{"name": {json.dumps(function.name)}, "arguments": ')
    return f'call{number}: {head} {_json(parameters, function.strict)} "}}"'


def _not_enforced(what: str, left: Enforceable) -> UsageError:
    first, *others = left.omissions
    place = f"{first.place} of {what}" if first.place else what
    more = f"; nor can {len(others)} more" if others else ""
    return UsageError(
        f"{place} can't be enforced: {first.why}{more}", hint="use keywords that docs/serve.md lists, or leave strict away"
    )
