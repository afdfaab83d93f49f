"""What all bodies have in common: strict JSON, less the fields of OpenAI's that change nothing; and what is said in
them, read with more patience."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, model_validator

Text = Annotated[str, Field(max_length=4 << 20)]
Stop = Annotated[str, Field(min_length=1, max_length=500)]
Stops = Stop | Annotated[list[Stop], Field(max_length=4)]
TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]

OFF: Mapping[str, Callable[[Any], bool]] = {
    # fields of OpenAI's that do nothing here, and the values with which the answer is the same as without them
    "audio": lambda value: False,
    "best_of": lambda value: value == 1 and value is not True,
    "echo": lambda value: value is False,
    "function_call": lambda value: value in ("none", "auto"),
    "functions": lambda value: value == [],
    "metadata": lambda value: isinstance(value, dict),
    "modalities": lambda value: value == ["text"],
    "moderation": lambda value: False,
    "prediction": lambda value: isinstance(value, dict),
    "prompt_cache_key": lambda value: isinstance(value, str),
    "prompt_cache_options": lambda value: isinstance(value, dict),
    "prompt_cache_retention": lambda value: isinstance(value, str),
    "reasoning_effort": lambda value: False,
    "safety_identifier": lambda value: isinstance(value, str),
    "service_tier": lambda value: isinstance(value, str),
    "store": lambda value: value is False,
    "suffix": lambda value: value == "",
    "verbosity": lambda value: value == "medium",
    "web_search_options": lambda value: False,
    "user": lambda value: isinstance(value, str),
}


class Body(BaseModel):
    """Strict JSON: no number in a string, no unknown field."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Said(BaseModel):
    """What is said in a conversation. Clients send back what they got, and what they and others made of it: members that aren't
    known here say nothing to the model, and are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)


class BodyWithoutOff(Body):
    """A request of OpenAI's API, less the fields that change nothing."""

    off: ClassVar[Mapping[str, Callable[[Any], bool]]] = OFF

    @model_validator(mode="before")
    @classmethod
    def _drop_off(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = set(cls.model_fields)
        return {
            name: value
            for name, value in data.items()
            if not (name not in known and name in cls.off and (value is None or cls.off[name](value)))
        }


def by_type(tags: Mapping[str, str], *, default: str | None = None) -> Discriminator:
    """Of several objects, the one that the member ``type`` says; ``default``: where it says nothing. Tags are in brackets: errors
    tell them from fields."""

    def tag(value: Any) -> str | None:
        name = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        name = default if name is None else name
        return tags.get(name) if isinstance(name, str) else None

    types = ", ".join(map(repr, tags))
    return Discriminator(
        tag, custom_error_type="wrong_type", custom_error_message=f"Input should be an object whose type is one of {types}"
    )


def stop_strings(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
