"""Jinja as transformers sets it up for chat templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox
import jinja2.utils


class _GenerationTag(jinja2.ext.Extension):
    """``{% generation %}…{% endgeneration %}`` marks the assistant's tokens for training; here it renders its body.

    The body is a block of its own, so that what it sets is gone behind it.
    """

    tags = {"generation"}  # noqa: RUF012 (jinja2's declared interface)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_rendered"), [], [], body).set_lineno(line)

    def _rendered(self, caller: Callable[[], str]) -> str:
        return caller()


class _Namespace(jinja2.utils.Namespace):
    """``namespace()`` without names that begin with an underscore, as transformers has it for the sandbox's sake."""

    def __init__(*args: Any, **attributes: Any) -> None:  # no name for self: a template may set one
        self, *given = args
        _refuse_hidden(dict(*given, **attributes))
        jinja2.utils.Namespace.__init__(self, *given, **attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_hidden([name])
        super().__setitem__(name, value)


def _refuse_hidden(attributes: Any) -> None:
    for name in attributes:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace holds no names with an underscore in front: {name!r}")


def environment() -> jinja2.Environment:
    """Templates come with checkpoints, and so run in a sandbox."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        # Jinja's own filter escapes HTML, which a prompt must not have
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005 - the day of who asks
    made.globals["namespace"] = _Namespace
    return made
