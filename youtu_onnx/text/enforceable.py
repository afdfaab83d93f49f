"""How much of a JSON schema a grammar can hold.

llguidance takes a schema, or refuses it for the first thing in it that can't be enforced: a pattern that looks ahead, a reference
that leads nowhere, a type that JSON hasn't. Here such things are found and left out, so that all else of the schema still binds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

Fault = Callable[[Any], str | None]
"""What keeps a schema from being enforced; None: nothing does."""

DEFINITIONS = ("$defs", "definitions")
NAMED = ("properties", "patternProperties", *DEFINITIONS)
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
SINGLE = ("additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames")
"""Keywords that hold schemas: by name, in a list, alone."""

MOST_CHARACTERS = 2_000_000
CHARACTERS_EACH = 2000
"""Of schemas that one search compiles, and what starting to compile one costs in characters: a second's worth. A large schema
full of faults is given up as a whole."""
LONGEST_CHAIN = 50
"""Of references that lead to references."""


@dataclass(frozen=True)
class Omission:
    """A keyword that was left out: where it is, as ``properties.to.pattern``, and why."""

    place: str
    why: str


@dataclass(frozen=True)
class Enforceable:
    """What is left of a schema.

    Attributes:
        schema: a grammar holds it. Where nothing is left, it is an empty one.
        omissions: what isn't in it, in the order in which it was found.
    """

    schema: Any
    omissions: tuple[Omission, ...] = ()

    @classmethod
    def of(cls, schema: Any, fault: Fault) -> Enforceable:
        search = _Search(fault)
        straight = search.without_circles(schema)
        why = fault(straight)
        if why is None:
            return cls(straight, tuple(search.omissions))
        try:
            left = search.relaxed(search.with_definitions_relaxed(search.resolved(straight)))
        except _GivenUpError:
            return cls({}, (Omission("", "too many of its parts can't"),))
        last = fault(left)
        if last is not None:  # alone, every part of it is well: what is wrong is how its references go round
            left = search.without_references(left, last)
        if fault(left) is not None:
            search.omissions.append(Omission("", why))
            left = {}
        return cls(left, tuple(search.omissions))


class _GivenUpError(Exception):
    """The search takes too long."""


class _Search:
    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._characters = MOST_CHARACTERS
        self.omissions: list[Omission] = []

    def without_circles(self, schema: Any) -> Any:
        """Without the references that lead to themselves, of which a grammar can make no text."""
        return self._without(
            schema, lambda reference: f"{reference!r} leads to itself" if _is_circle(reference, schema) else None
        )

    def resolved(self, schema: Any) -> Any:
        """Without the references that lead nowhere."""

        def wrong(reference: str) -> str | None:
            return f"{reference!r} leads nowhere in this schema" if _target(reference, schema) is None else None

        return self._without(schema, wrong)

    def without_references(self, schema: Any, why: str) -> Any:
        return self._without(schema, lambda reference: why)

    def _without(self, schema: Any, wrong: Callable[[str], str | None]) -> Any:
        def keep(reference: str, place: str) -> bool:
            why = wrong(reference)
            if why is not None:
                self._omit(place, why, None)
            return why is None

        return _references(schema, keep)

    def with_definitions_relaxed(self, schema: Any, place: str = "") -> Any:
        """Whatever refers to them, they are looked at: alone, a schema doesn't show what is wrong with its definitions."""

        def inside(one: Any, place: str, keyword: str) -> Any:
            one = self.with_definitions_relaxed(one, place)
            return self.relaxed(one, place) if keyword in DEFINITIONS else one

        return _changed_inside(schema, place, inside)

    def relaxed(self, schema: Any, place: str = "") -> Any:
        """A schema without its faults, each part of it looked at alone, as if its references allowed anything."""
        why = self._fault_alone(schema)
        if why is None:
            return schema
        if not isinstance(schema, dict):
            return self._omit(place, why, {})
        inside = _changed_inside(schema, place, lambda one, place, keyword: self.relaxed(one, place))
        if self._fault_alone(inside) is None:
            return inside
        kept: dict[str, Any] = {}
        for keyword in sorted(inside, key=lambda keyword: keyword != "type"):
            why = self._fault_alone(kept | {keyword: inside[keyword]})
            if why is None:
                kept[keyword] = inside[keyword]
            else:
                self._omit(f"{place}.{keyword}", why + _shown(schema[keyword]), None)
        if kept.keys() & {"properties", "patternProperties"} != inside.keys() & {"properties", "patternProperties"}:
            kept.pop("additionalProperties", None)  # it would forbid what those allow
        return kept

    def _omit(self, place: str, why: str, instead: Any) -> Any:
        self.omissions.append(Omission(place.lstrip("."), why))
        return instead

    def _fault_alone(self, schema: Any) -> str | None:
        alone = _references(schema, lambda reference, place: False)
        self._characters -= len(json.dumps(alone)) + CHARACTERS_EACH
        if self._characters < 0:
            raise _GivenUpError
        return self._fault(alone)


def _changed_inside(schema: Any, place: str, change: Callable[[Any, str, str], Any]) -> Any:
    """A copy, in which each schema directly inside of it is what ``change`` makes of it, its place, and its keyword."""
    if not isinstance(schema, dict):
        return schema

    def changed(keyword: str, value: Any) -> Any:
        here = f"{place}.{keyword}"
        if keyword in NAMED and isinstance(value, dict):
            return {name: change(one, f"{here}.{name}", keyword) for name, one in value.items()}
        if keyword in LISTED and isinstance(value, list):
            return [change(one, f"{here}.{number}", keyword) for number, one in enumerate(value)]
        return change(value, here, keyword) if keyword in SINGLE and isinstance(value, dict) else value

    return {keyword: changed(keyword, value) for keyword, value in schema.items()}


def _shown(value: Any) -> str:
    return f" ({re.sub(r'[^ -~]', ' ', value)[:100]})" if isinstance(value, str) else ""


def _references(schema: Any, keep: Callable[[str, str], bool], place: str = "") -> Any:
    """A copy with those references that are to be kept; each is told of with its place."""
    if isinstance(schema, list):
        return [_references(one, keep, f"{place}.{number}") for number, one in enumerate(schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value if name in ("const", "enum") else _references(value, keep, f"{place}.{name}")
        for name, value in schema.items()
        if not (name == "$ref" and isinstance(value, str)) or keep(value, f"{place}.$ref".lstrip("."))
    }


def _is_circle(reference: str, whole: Any) -> bool:
    """Whether a reference leads to nothing but references, and back."""
    passed: set[str] = set()
    while reference not in passed and len(passed) < LONGEST_CHAIN:
        passed.add(reference)
        target = _target(reference, whole)
        if not isinstance(target, dict) or not isinstance(target.get("$ref"), str):
            return False
        reference = target["$ref"]
    return reference in passed


def _target(reference: str, whole: Any) -> Any:
    """What a reference into the schema itself leads to (RFC 6901, in a URI); None where there is nothing."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    found = whole
    for step in unquote(reference).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found
