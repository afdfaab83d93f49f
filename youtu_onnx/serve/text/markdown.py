"""A model's Markdown → HTML that can run nothing: CommonMark with tables, task lists, footnotes, highlighted code and formulas
as MathML.

Three libraries write it, and none is given a person's HTML: markdown-it escapes it, pygments writes spans with classes,
and what latex2mathml writes is read again and copied element by element from a list.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

LINK = re.compile(r"(https?://|mailto:)[^\s]", re.IGNORECASE)
FORMULA_LIMIT = 2_000
"""Characters of a formula that are converted; longer ones are shown as code."""

CODE_LIMIT = 20_000
"""Characters of a block of code that are highlighted."""

FOOTNOTE_LIMIT = 200
"""Marks of footnotes in a text; the time to read them grows by their square. In a text with more they stay as they are."""

MATHML = "http://www.w3.org/1998/Math/MathML"
ELEMENTS = frozenset(
    {
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "mtext",
        "mspace",
        "mfrac",
        "msqrt",
        "mroot",
        "msub",
        "msup",
        "msubsup",
        "munder",
        "mover",
        "munderover",
        "mtable",
        "mtr",
        "mtd",
        "mstyle",
        "mpadded",
        "mphantom",
        "menclose",
        "mfenced",
        "merror",
        "mmultiscripts",
    }
)
ATTRIBUTES = frozenset(
    {
        "display",
        "mathvariant",
        "stretchy",
        "fence",
        "form",
        "separator",
        "accent",
        "accentunder",
        "linethickness",
        "columnalign",
        "rowspacing",
        "columnspacing",
        "columnlines",
        "rowlines",
        "displaystyle",
        "scriptlevel",
        "width",
        "height",
        "depth",
        "lspace",
        "rspace",
        "minsize",
        "maxsize",
        "movablelimits",
        "notation",
        "mathcolor",
        "mathbackground",
        "symmetric",
        "largeop",
        "voffset",
    }
)
VALUE = re.compile(r"[\w#%.+\- ]{0,64}")
"""What an attribute may be: words, numbers, lengths, colours."""


_PRODUCT = re.compile(r"\d\*\d", re.ASCII)


def render(text: str) -> str:
    """HTML of a Markdown text. Links go to http, https and mailto alone; images are links; a formula that can't be read is
    shown as code."""
    made: str = _markdown(footnotes=0 < text.count("[^") <= FOOTNOTE_LIMIT).render(text)
    return made


@cache
def _markdown(footnotes: bool) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False, "highlight": _highlight})
    markdown.enable(["table", "strikethrough"]).disable("image")
    markdown.use(dollarmath_plugin, allow_labels=False, allow_digits=False, double_inline=True)
    markdown.use(tasklists_plugin)
    if footnotes:
        markdown.use(footnote_plugin, inline=False)
    # not texmath's rules for brackets: they take time squared to find that many open and none closes
    markdown.inline.ruler.before("escape", "math_brackets", _brackets_inline)
    markdown.block.ruler.before(
        "fence", "math_brackets_block", _brackets_block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    markdown.inline.ruler.before("emphasis", "product", _product)
    markdown.validateLink = lambda url: bool(LINK.match(url))  # type: ignore[method-assign]
    markdown.add_render_rule("link_open", _link)
    markdown.add_render_rule("math_inline", _inline)
    for kind in ("math_inline_double", "math_block", "math_block_label"):
        markdown.add_render_rule(kind, _block)
    return markdown


def _product(state: StateInline, silent: bool) -> bool:
    """``17*9``: a single star between digits is none of Markdown's."""
    at = state.pos
    if not _PRODUCT.match(state.src, max(at - 1, 0)) or at == 0:
        return False
    if not silent:
        state.pending += "*"
    state.pos = at + 1
    return True


def _brackets_inline(state: StateInline, silent: bool) -> bool:
    """``\\(…\\)``, and ``\\[…\\]`` within a paragraph."""
    kind = {"\\(": ("math_inline", "\\)"), "\\[": ("math_inline_double", "\\]")}.get(state.src[state.pos : state.pos + 2])
    if kind is None:
        return False
    end = state.src.find(kind[1], state.pos + 2, state.pos + 2 + FORMULA_LIMIT)
    if end < 0:
        return False
    if not silent:
        state.push(kind[0], "math", 0).content = state.src[state.pos + 2 : end]
    state.pos = end + 2
    return True


def _brackets_block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """``\\[…\\]`` on lines of its own, whose lines could else begin a list or a heading."""
    begin = state.bMarks[first] + state.tShift[first]
    if state.is_code_block(first) or not state.src.startswith("\\[", begin):
        return False
    end = state.src.find("\\]", begin + 2, begin + 2 + FORMULA_LIMIT)
    line = first
    while line < last and state.eMarks[line] < end:
        line += 1
    if end < 0 or line >= last or state.src[end + 2 : state.eMarks[line]].strip():
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content = state.getLines(first, line + 1, state.blkIndent, False).strip()[2:-2]
        token.map = [first, line + 1]
        state.line = line + 1
    return True


def _link(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    tokens[index].attrSet("target", "_blank")
    return self.renderToken(tokens, index, options, env)


def _inline(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return formula(tokens[index].content)


def _block(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    made = formula(tokens[index].content, block=True)
    return made if tokens[index].type == "math_inline_double" else f"<p>{made}</p>\n"


def _highlight(code: str, language: str, attributes: str) -> str:
    if not language or len(code) > CODE_LIMIT:
        return ""  # markdown-it escapes it itself
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return ""
    made: str = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return made


def formula(latex: str, *, block: bool = False) -> str:
    """MathML of a formula, or the formula as code."""
    latex = latex.strip()
    if latex and len(latex) <= FORMULA_LIMIT:
        try:
            return _copied(ElementTree.fromstring(convert(latex, display="block" if block else "inline")))
        except Exception:  # noqa: BLE001 - the converter raises whatever comes up, on anything that isn't LaTeX as it knows it
            pass
    return f'<code class="math">{html.escape(latex)}</code>'


def _copied(element: ElementTree.Element) -> str:
    name = element.tag.removeprefix(f"{{{MATHML}}}")
    if name not in ELEMENTS:
        raise ValueError(f"<{name}> is no formula")
    attributes: Mapping[str, str] = {
        key: value for key, value in element.attrib.items() if key in ATTRIBUTES and VALUE.fullmatch(value)
    }
    inside = html.escape(element.text or "") + "".join(_copied(child) + html.escape(child.tail or "") for child in element)
    written = "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>"
