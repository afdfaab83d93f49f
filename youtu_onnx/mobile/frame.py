"""What a chat template writes around messages, as plain strings: phones have no Jinja.

    system: first.system S first.user_after_system U reply A …
    else:   first.user U reply A next_user U reply A …

with ``generate`` in place of the last ``reply``, where the model goes on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from youtu_onnx.text import ChatTemplate

_S, _U, _A, _V = "qsystemq", "quserq", "qanswerq", "qseconduserq"


@dataclass(frozen=True)
class ChatFrame:
    """Texts between the messages of a conversation. Control tokens' literals in them stand for the tokens.

    Attributes:
        user: before the first user's message, without a system message.
        system, user_after_system: before the system message, and between it and the first user's.
        reply: between a user's message and the reply that follows it in the history. Its thinking is left out.
        next_user: between a reply and the next user's message.
        generate: after the last user's message, before what the model shall write.
        generate_without_thinking: the same with thinking switched off; equal to ``generate`` where the template has no switch.
    """

    user: str
    system: str
    user_after_system: str
    reply: str
    next_user: str
    generate: str
    generate_without_thinking: str

    @classmethod
    def of(cls, template: ChatTemplate) -> ChatFrame | None:
        """The frame of a template, or None where the template does more with messages than stand between fixed texts."""
        user, system = {"role": "user", "content": _U}, {"role": "system", "content": _S}
        history = [user, {"role": "assistant", "content": _A}, {"role": "user", "content": _V}]
        try:
            first, generate = template.render([user]).split(_U)
            _, without = template.render([user], enable_thinking=False).split(_U)
            before, rest = template.render([system, user]).split(_S)
            after, _ = rest.split(_U)
            reply, rest = template.render(history).removeprefix(first + _U).split(_A)
            next_user, _ = rest.split(_V)
        except ValueError:  # a message occurs never, or twice
            return None
        frame = cls(first, before, after, reply, next_user, generate, without)
        for system_text in ("", _S):
            for thinking in (True, False):
                messages = ([system] if system_text else []) + history
                if frame.prompt([_U, _A, _V], system=system_text, thinking=thinking) != template.render(
                    messages, enable_thinking=None if thinking else False
                ):
                    return None
        return frame

    def prompt(self, turns: list[str], *, system: str = "", thinking: bool = True) -> str:
        """The text for turns of user, reply, user, …, the last of them the user's."""
        text = self.system + system + self.user_after_system if system else self.user
        for index, turn in enumerate(turns):
            text += turn + (self.reply if index % 2 == 0 else self.next_user)
        end = self.generate if thinking else self.generate_without_thinking
        return text.removesuffix(self.reply) + end

    def to_dict(self) -> dict[str, str]:
        return asdict(self)
