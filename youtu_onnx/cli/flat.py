"""Commands that take objects, as typer wants them: one parameter for each option."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a parameter for each field of those of its parameters that are dataclasses, in their place.

    Fields are annotated as typer reads it: ``Annotated[type, typer.Option(…)]``. The names of all parameters must differ.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: Mapping[str, type] = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}

    def flattened(**given: Any) -> None:
        objects = {name: kind(**{one.name: given.pop(one.name) for one in fields(kind)}) for name, kind in groups.items()}
        command(**given, **objects)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _parameters(groups[parameter.name])
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))
    flattened.__name__ = command.__name__
    flattened.__annotations__ = {one.name: one.annotation for one in parameters}
    flattened.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flattened


def _parameters(kind: type) -> Iterator[inspect.Parameter]:
    """One for each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        yield inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=hints[one.name])


def _default(one: Field[Any]) -> Any:
    return inspect.Parameter.empty if one.default is MISSING else one.default
