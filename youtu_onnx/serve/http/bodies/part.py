"""Parts of a message's content."""

from __future__ import annotations

from pydantic import Field, model_validator

from youtu_onnx.serve.http.bodies.body import Said, Text

TEXTS = ("text", "input_text", "output_text")
"""Types whose text is in ``text``: of chat completions, and as the Responses API calls the same."""

OTHERS = {"image": "an image", "audio": "sound", "video": "a video", "file": "a file", "document": "a document"}
"""What else a part may be, by a word in its type."""


class Part(Said):
    """One part: a text, or an assistant's refusal."""

    type: str = Field(json_schema_extra={"enum": [*TEXTS, "refusal"]})
    text: Text | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _is_text(self) -> Part:
        if self.type == "refusal" and self.refusal is not None:
            return self
        if self.type in TEXTS:
            if self.text is None:
                raise ValueError("text is missing")
            return self
        other = next((words for word, words in OTHERS.items() if word in self.type), None)
        what = f"{other} ({self.type[:40]})" if other else f"of type {self.type[:40]!r}"
        raise ValueError(f"the model reads text only, and this part is {what}; send text parts alone")

    def __str__(self) -> str:
        return (self.refusal if self.type == "refusal" else self.text) or ""


Content = Text | list[Part]


def joined(content: str | list[Part] | None) -> str:
    """The text of a message."""
    return content if isinstance(content, str) else "".join(map(str, content or ()))
