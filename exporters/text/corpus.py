"""What two tokenizers are compared on: texts and conversations that bring out how they differ. The same at every export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

TEXTS = (
    "",
    "Hello, world!",
    # white space
    " ",
    "   ",
    "\n",
    "\n\n\n",
    "\t",
    " \t \n \r\n\r x\x0b\x0cy",
    "  two  three   four    " + " " * 17 + "x" + " " * 33,
    "def f(x):\n    if x:\n\t\treturn x ** 2  # π\n\n\n\nclass A: ...\n",
    "no\xa0break narrow\u202fthin\u2009ideographic\u3000next\x85line\u2028para\u2029end",
    # digits and punctuation
    "0 1 12 123 1234 12345 123456789012 3.14 -1e-10 0x1F 1,000,000 ٣٤٥ १२३ ²³ Ⅷ ①",
    "!!! ??? ... --- === *** ### ``` <<>> (){}[] \\\\ // '' \"\" ~@$%^&*_+|;:",
    "I'm you're WE'LL don'T it's 90's \"x\" ‘y’ “z” …—–",
    "https://example.com/a?b=c&d=%20#e user@host.org C:\\temp\\new.txt",
    '{"name": "f", "arguments": {"x": [1, null, true, "\\u00e9"]}}',
    "<b>html &amp; 'quotes'</b> {{ jinja }} {% raw %} ${x} $$\\frac{1}{2}$$",
    # scripts
    "Ελληνικά Русский язык Українська Հայերեն ქართული ᏣᎳᎩ",
    "עִבְרִית العَرَبِيَّة فارسی اردو \u202bשלום\u202c",
    "हिन्दी বাংলা தமிழ் తెలుగు ಕನ್ನಡ മലയാളം සිංහල ไทยภาษา ລາວ ខ្មែរ မြန်မာ བོད",
    "你好，世界。今天天气怎么样？繁體中文「引號」𠀀𪜀",
    "日本語のテキスト、カタカナ ﾊﾝｶｸ ひらがな 한국어 텍스트 한글",
    "Tiếng Việt Türkçe İıĞğ Łódź ß ẞ Ǆ Æsir façade naïve",
    # what normalization changes
    "café cafe\u0301 Å A\u030a \u212b ﬀ ﬁ ½ ㎏ Ｆｕｌｌ ｗｉｄｔｈ 𝕌𝕟𝕚 𝒸ℴ𝒹ℯ ﷺ",
    "z\u0351\u036b\u0343a\u030d\u0310l\u0321\u033cg\u0349o",
    "UPPER lower MiXeD camelCase snake_case kebab-case SCREAMING_CASE",
    # emoji, and what has no look
    "😀 👍🏽 👩‍👩‍👧‍👦 🇨🇳🇫🇷 1️⃣ ❤️ ❤ ☺",
    "zero\u200bwidth\u200c\u200d \u2060 soft\xadhyphen \ufeffbom \u200e\u200f",
    "control \x00\x01\x07\x08\x1b[31m\x7f\x80\x9f",
    "\ufffd\ufffe\uffff \ue000 \U000f0000 \U0010ffff",
    # long runs
    "a" * 300,
    "ab" * 100 + "the" * 50,
    "word " * 60,
    "antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft",
    # looks like a control token, and is none
    "<|user|> <| user |> <|User|<|> |>Assistant<| <s > < /s> [INST ] <<SYS>> <|im_start|>",
    "< think> <Think> </ think> <tool_cal> <|endoftext |> ▁ ▁▁x Ġ Ċ <0x0A> ##ing @@",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Wetter für <Ort> & Zeit, 天气",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(frozen=True)
class Choice:
    """Options of a chat template. ``thinking`` None leaves the choice to it."""

    add_generation_prompt: bool = True
    thinking: bool | None = None
    tools: bool = False

    @property
    def schemas(self) -> list[dict[str, Any]] | None:
        return [TOOL] if self.tools else None

    def __str__(self) -> str:
        thinking = "" if self.thinking is None else f" with enable_thinking {str(self.thinking).lower()}"
        return " with tools" * self.tools + thinking + " without add_generation_prompt" * (not self.add_generation_prompt)


CHOICES = tuple(
    Choice(prompt, thinking, tools)
    for tools in (False, True)
    for prompt, thinking in ((True, None), (False, None), (True, True), (True, False))
)


_USER, _AGAIN = {"role": "user", "content": "Hi"}, {"role": "user", "content": "  And now?\n"}
_SYSTEM = {"role": "system", "content": "Be brief. 简短。"}
_THOUGHT = {"role": "assistant", "content": "So.", "reasoning_content": "Hm,\nlet me see."}
_INLINE = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nSo."}
_CALLS = {
    "role": "assistant",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich 苏黎世"}}},
        {"id": "c2", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "<Köln>"}}},
    ],
}
_RESULTS = [{"role": "tool", "tool_call_id": "c1", "content": '{"sky": "☀"}'}, {"role": "tool", "content": "dry"}]
SHAPES: tuple[list[dict[str, Any]], ...] = (
    [_USER],
    [_SYSTEM, _USER],
    [_SYSTEM, _USER, _THOUGHT, _AGAIN],
    [_USER, {"role": "assistant", "content": "So."}, _AGAIN, _INLINE],
    [_SYSTEM, _USER, _CALLS, *_RESULTS],
    [_USER, {**_CALLS, "content": "I look."}, *_RESULTS, _INLINE, _AGAIN],
)
"""Conversations of every shape that a server meets. Every template renders one of the first two."""


def long_conversation(texts: Iterable[str]) -> list[dict[str, Any]]:
    """One that holds all the texts."""
    listed = [*texts]
    return [{"role": "system", "content": "\n".join(listed)}, {"role": "user", "content": "\n".join(reversed(listed))}]


MOST = 48
"""Tokens whose every variant is a text of its own."""


def token_texts(tokens: Iterable[str]) -> Iterator[str]:
    """Texts that hold added tokens: alone, between letters and spaces, cut, in other cases and widths."""
    listed = [*tokens]
    for token in listed[:MOST]:
        yield from (
            token,
            f" {token}",
            f"a{token}b",
            f"a  {token}\n b.{token}{token}",
            f"{token[:-1]} {token[1:]}{token.strip()[:2]}",
        )
        yield from (token.upper(), token.lower(), token.translate(_WIDE))
    for start in range(MOST, len(listed), MOST):
        some = listed[start : start + MOST]
        yield from ("".join(some), "a".join(some), "  ".join(some))


_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
