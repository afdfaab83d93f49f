"""From problems to chat messages and to token sequences with a loss mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from youtu_onnx.problems.problem import LANGUAGES, Problem

SYSTEM = {
    "en": ["You are a helpful assistant.", "You are a careful assistant.", "Answer briefly."],
    "zh": ["你是一个有用的助手。", "你是一个细心的助手。", "请简短回答。"],
}
# Draws a problem in a language, in either where that is None.
Sample = Callable[[Random, str | None], Problem]

NO_THINKING = "<think>\n\n</think>\n\n"
NAMES = {
    "en": ["Tom", "Amy", "Ben", "Lucy", "Sam", "Anna", "Jack", "Mary", "Leo", "Kate"],
    "zh": ["小明", "小红", "小刚", "小丽", "小华", "小强", "小芳", "小军", "小兰", "小龙"],
}


@dataclass(frozen=True)
class Conversation:
    """Text up to the last assistant tag in `turns`, and the reply that is taught.

    `turns` are the pieces in order; a position gap may be put between any two of them.
    """

    turns: tuple[str, ...]
    reply: str


def reply_text(problem: Problem) -> str:
    """The reply as the model writes it: derivation between think tags, then the answer."""
    if not problem.thought:
        return problem.final
    return f"<think>\n{problem.thought}\n</think>\n\n{problem.final}"


def remembered_name(rng: Random, language: str, sample: Sample) -> tuple[list[tuple[str, str]], Problem]:
    """A name told in one turn and asked for in a later one: the simplest use of the history."""
    name = rng.choice(NAMES[language])
    if language == "en":
        told = (rng.choice(["My name is {}.", "I am {}.", "Call me {}."]).format(name), f"Nice to meet you, {name}!")
        asked, answer = rng.choice(["What is my name?", "Who am I?", "Do you remember my name?"]), f"Your name is {name}."
    else:
        told = (rng.choice(["我叫{}。", "我是{}。", "我的名字是{}。"]).format(name), f"很高兴认识你，{name}！")
        asked, answer = rng.choice(["我叫什么名字？", "我是谁？", "你记得我的名字吗？"]), f"你叫{name}。"
    last = Problem("memory", "name", language, f"name:{name}:{asked}", asked, "", answer)
    if rng.random() < 0.3:  # teach the first reply too, not only the recall
        return [], Problem("memory", "told", language, f"told:{told[0]}", told[0], "", told[1])
    between = [sample(rng, language) for _ in range(rng.randint(0, 1))]
    return [told] + [(p.prompt, p.final) for p in between], last


def conversation(rng: Random, sample: Sample, without_thinking: float = 0.08, history: float = 0.22) -> Conversation:
    """A training conversation of sampled problems: mostly one turn, sometimes two to four, in one language or both.

    `without_thinking` is the share whose thinking is switched off: they answer at once. `history`: the share with earlier turns,
    which are read and not taught.
    """
    language = rng.choice(LANGUAGES)
    if rng.random() < 0.03:
        earlier, problem = remembered_name(rng, language, sample)
    else:
        problem = sample(rng, language)
        turns = rng.choice((1, 1, 2, 3)) if rng.random() < history else 0
        past = [sample(rng, language if rng.random() < 0.8 else None) for _ in range(turns)]
        earlier = [(p.prompt, p.final) for p in past]
    system = rng.choice(SYSTEM[language]) if rng.random() < 0.12 else ""
    pieces = ["<|begin_of_text|>" + system]
    # As the chat template does, a past turn keeps its answer and loses its thinking.
    pieces += [f"<|User|>{asked}<|Assistant|>{said}<|end_of_text|>" for asked, said in earlier]
    pieces.append(f"<|User|>{problem.prompt}<|Assistant|>")
    reply = reply_text(problem)
    if rng.random() < without_thinking:
        pieces[-1] += NO_THINKING
        reply = problem.final
    return Conversation(tuple(pieces), reply + "<|end_of_text|>")
