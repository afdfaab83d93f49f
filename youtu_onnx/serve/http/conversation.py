"""A conversation that wants a reply, whichever API it was written for, and what the engine gets of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from youtu_onnx.chat.prefix import common_prefix
from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.engine.request import Request
from youtu_onnx.serve.http.bodies.sampling import SamplingFields
from youtu_onnx.serve.http.bodies.tool import ToolFunction
from youtu_onnx.serve.http.continuing import continued
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.prompting import chat_prompt, sampling
from youtu_onnx.serve.http.replies import PlannedReply, Replies
from youtu_onnx.serve.http.service import Service
from youtu_onnx.serve.text.reply import ReplyReader
from youtu_onnx.text import Prompt
from youtu_onnx.text.constraint import Form, Function, GrammarConstraint, Thinking, thinking_of


@dataclass(frozen=True)
class Offered:
    """The tools that the model hears of, and what it may do with them.

    Attributes:
        chosen: names of those that alone it may call; none: it may call all.
        required: it has to call one.
        named: the caller named the one to call.
        parallel: a reply may hold several calls.
    """

    functions: Sequence[ToolFunction] = ()
    chosen: frozenset[str] = frozenset()
    required: bool = False
    named: bool = False
    parallel: bool = True

    @property
    def for_template(self) -> list[dict[str, Any]]:
        return [function.for_template() for function in self.functions]


@dataclass(frozen=True)
class AnswerForm:
    """JSON of a schema. ``strict``: all of the schema, or the request is refused."""

    schema: Mapping[str, Any]
    strict: bool


@dataclass(frozen=True)
class FieldNames:
    """How an API calls what may be wrong with a request."""

    messages: str = "messages"
    form: str = "response_format"


@dataclass(frozen=True)
class Conversation:
    """Attributes:
    messages: as chat templates read them.
    sampling: how tokens are chosen.
    begun: an assistant's message to go on with, as templates read it; None: the reply begins.
    max_tokens: of a reply; None: the model's default.
    copies: so many replies.
    logprobs: as :class:`youtu_onnx.serve.engine.request.Request` has them.
    progress: the first reply's is wanted.
    """

    messages: Sequence[Mapping[str, Any]]
    sampling: SamplingFields
    begun: Mapping[str, Any] | None = None
    model: str | None = None
    max_tokens: int | None = None
    enable_thinking: bool | None = None
    stops: tuple[str, ...] = ()
    offered: Offered = Offered()
    form: AnswerForm | None = None
    copies: int = 1
    logprobs: int | None = None
    progress: bool = False
    names: FieldNames = FieldNames()


def plan(service: Service, wanted: Conversation) -> Replies:
    """The replies to make. Not on the event loop: long prompts and large schemas take their time.

    Raises:
        Problem: the model can't do what is wanted, or the prompt is too long for it.
    """
    text, functions, adapter = service.text, wanted.offered.functions, service.models.active(wanted.model)
    if functions and not text.calls_tools:
        raise Problem(400, f"{text.id} has no tokens for tool calls", param="tools", code="unsupported_field")
    prompt = chat_prompt(
        service, wanted.messages, wanted.enable_thinking, wanted.offered.for_template, param=wanted.names.messages
    )
    if wanted.begun is not None:
        prompt = continued(prompt, wanted.begun, text.tokenizer, thinks=wanted.enable_thinking is not False)
    service.check_prompt(prompt.token_ids, wanted.names.messages)
    constraint = _constraint(service, wanted, thinking_of(bool(prompt.thinking), wanted.enable_thinking))
    shared = _shared(service, wanted, prompt.token_ids) if service.settings.saves_prefixes else 0
    planned = []
    for number in range(wanted.copies):
        request = Request(
            tuple(prompt.token_ids),
            wanted.max_tokens or text.max_tokens,
            sampling(service, wanted.sampling, number),
            text.eos_ids,
            logprobs=wanted.logprobs,
            constraint=constraint and (constraint.copy() if number else constraint),
            adapter=adapter,
            shared=shared,
            progress=wanted.progress and number == 0,
        )
        planned.append(PlannedReply(request, _reader(service, wanted, prompt)))
    return Replies(tuple(planned), wanted.copies, named_tool=wanted.offered.named)


def _reader(service: Service, wanted: Conversation, prompt: Prompt) -> ReplyReader:
    begun = wanted.begun is not None
    return ReplyReader(
        service.text.tokenizer,
        stops=wanted.stops,
        thinking=None if begun and not prompt.thinking else prompt.thinking,  # None: its thinking is over
        tools=bool(wanted.offered.functions),
        goes_on=begun,
    )


def _shared(service: Service, wanted: Conversation, ids: Sequence[int]) -> int:
    """Tokens of the prompt that others begin with under the same instructions and tools, whatever is said in them."""
    first = next((place for place, message in enumerate(wanted.messages) if message["role"] != "system"), None)
    if first is None or not (first or wanted.offered.functions):
        return 0
    other = [*wanted.messages[:first], {"role": "user", "content": "?"}]
    try:
        prompt = chat_prompt(service, other, wanted.enable_thinking, wanted.offered.for_template)
    except Problem:  # of a template that wants more than that
        return 0
    return common_prefix(ids, prompt.token_ids)


def _constraint(service: Service, wanted: Conversation, thinking: Thinking) -> GrammarConstraint | None:
    """What the answer must be; None where it is free."""
    offered = wanted.offered
    with _refusing(wanted.names.form):
        form: Form | None = None
        if wanted.form is not None:
            form = service.grammars.form(wanted.form.schema, strict=wanted.form.strict)
        if not offered.functions:
            return None if form is None else service.grammars.answer(form, thinking=thinking)
    functions = [
        Function(one.name, one.parameters, bool(one.strict))
        for one in offered.functions
        if not offered.chosen or one.name in offered.chosen
    ]
    with _refusing("tools"):
        return service.grammars.calls(
            functions,
            required=offered.required,
            thinking=thinking,
            parallel=offered.parallel and not offered.named,
            form=form,
        )


@contextmanager
def _refusing(param: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise Problem(400, str(error.message), param=param, code="invalid_schema") from error
