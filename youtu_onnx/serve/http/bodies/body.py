"""What all bodies have in common: strict JSON, less the fields of OpenAI's that ask for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(max_length=4 << 20)]
Stop = Annotated[str, Field(min_length=1, max_length=500)]
Stops = Stop | Annotated[list[Stop], Field(max_length=4)]
TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]

OFF: Mapping[str, Callable[[Any], bool]] = {
    # fields of OpenAI's that do nothing here, and the values with which they ask for nothing
    "audio": lambda value: False,
    "best_of": lambda value: value == 1 and value is not True,
    "echo": lambda value: value is False,
    "function_call": lambda value: value in ("none", "auto"),
    "functions": lambda value: value == [],
    "metadata": lambda value: isinstance(value, dict),
    "modalities": lambda value: value == ["text"],
    "prediction": lambda value: False,
    "prompt_cache_key": lambda value: isinstance(value, str),
    "prompt_cache_retention": lambda value: isinstance(value, str),
    "reasoning_effort": lambda value: False,
    "safety_identifier": lambda value: isinstance(value, str),
    "service_tier": lambda value: value in ("auto", "default"),
    "store": lambda value: value is False,
    "suffix": lambda value: value == "",
    "verbosity": lambda value: value == "medium",
    "web_search_options": lambda value: False,
    "user": lambda value: isinstance(value, str),
}


class Body(BaseModel):
    """Strict JSON: no number in a string, no unknown field."""

    model_config = ConfigDict(extra="forbid", strict=True)


class BodyWithoutOff(Body):
    """A request of OpenAI's API, less the fields that ask for nothing."""

    @model_validator(mode="before")
    @classmethod
    def _drop_off(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = set(cls.model_fields)
        return {
            name: value
            for name, value in data.items()
            if not (name not in known and name in OFF and (value is None or OFF[name](value)))
        }


def stop_strings(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
