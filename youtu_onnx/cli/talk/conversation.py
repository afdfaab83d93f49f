"""The messages so far, and the model that answers them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.chat.generation import Generation
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.chat.result import Result
from youtu_onnx.cli import console
from youtu_onnx.cli.talk.saved import Message
from youtu_onnx.cli.talk.showing import interrupt_cancels, print_reply
from youtu_onnx.core.errors import UsageError, YoutuOnnxError


@dataclass
class Totals:
    """Of all replies of a session: counts and seconds."""

    replies: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    def add(self, result: Result) -> None:
        self.replies += 1
        self.prompt_tokens += result.usage.prompt_tokens
        self.reused_tokens += result.timing.reused_tokens
        self.completion_tokens += result.usage.completion_tokens
        self.prefill_seconds += result.timing.prefill_seconds
        self.decode_seconds += result.timing.decode_seconds


class Conversation:
    """
    Attributes:
        system: the message that opens it; None: none.
        messages: questions and answers in turn.
        options: of the replies that come.
        last: the last reply; None where there was none.
    """

    def __init__(self, model: Model, system: str | None, options: ReplyOptions) -> None:
        self.model, self.system, self.options = model, system, options
        self.messages: list[Message] = []
        self.last: Result | None = None
        self.totals = Totals()

    @property
    def question(self) -> str | None:
        """The last one that was answered."""
        asked = [message for message in self.messages if message["role"] == "user"]
        return asked[-1]["content"] if asked else None

    @property
    def whole(self) -> list[Message]:
        """The messages as the model gets them."""
        return ([] if self.system is None else [{"role": "system", "content": self.system}]) + self.messages

    def reset(self) -> None:
        self.messages = []
        self.model.reset()

    def take_back(self) -> None:
        """Forget the last question and its answer."""
        while self.messages and self.messages.pop()["role"] != "user":
            pass

    def ask(self, text: str) -> None:
        """Print the reply to a text. A turn that can't be answered is told about and forgotten."""
        asked: Message = {"role": "user", "content": text}
        try:
            reply = self.model.reply([*self.whole, asked], self.options)
        except UsageError as error:
            console.fail(error)
            if self.messages:
                console.note("  /reset makes room by forgetting the conversation")
            return
        result = self._shown(reply)
        if result is not None and result.token_ids:
            self.messages += [asked, _answered(result)]

    def again(self, text: str) -> None:
        """Ask in the place of the last question. What was there stays if nothing comes of it."""
        before = list(self.messages)
        self.take_back()
        fewer = len(self.messages)
        try:
            self.ask(text)
        finally:
            if len(self.messages) == fewer:
                self.messages = before

    @property
    def repeats(self) -> bool:
        """Whether the same question gets the same answer."""
        sampling = self.options.sampling(self.model.sampling)
        return sampling.deterministic or sampling.seed is not None

    def choose(self, **chosen: object) -> None:
        """
        Raises:
            UsageError: numbers that can't be.
        """
        self.options = replace(self.options, **chosen)  # type: ignore[arg-type]

    def _shown(self, reply: Generation) -> Result | None:
        """What became of a reply that was printed as it came; None where it was broken off or failed."""
        try:
            with interrupt_cancels(reply):
                print_reply(reply)
                self.last = reply.result
        except KeyboardInterrupt:  # the second Ctrl-C, which doesn't wait for the current step
            print()
            self.model.reset()
            return None
        except YoutuOnnxError as error:  # too little memory, or a model whose numbers are none: the conversation is kept
            if isinstance(error, console.OutputError):
                raise
            console.fail(error)
            self.model.reset()
            return None
        self.totals.add(self.last)
        return self.last


def _answered(result: Result) -> Message:
    message: Message = {"role": "assistant", "content": result.answer}
    return message | {"reasoning_content": result.thinking} if result.thinking else message
