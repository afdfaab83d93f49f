"""Markdown → HTML that can run nothing, whatever the text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.serve.text import markdown

TAGS = {
    "p",
    "em",
    "strong",
    "s",
    "code",
    "pre",
    "span",
    "a",
    "ul",
    "ol",
    "li",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "br",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
} | markdown.ELEMENTS
HTML_ATTRIBUTES = {
    "a": {"href", "title", "rel", "target"},
    "ol": {"start"},
    "th": {"style"},
    "td": {"style"},
    "code": {"class"},
    "span": {"class"},
}

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A&#x61;vascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    '<http://a.b/"onclick=alert(1)>',
    "![x](javascript:alert(1))",
    "![x](http://a.b/c.png)",
    '[x](http://a.b "title\\" onmouseover=alert(1)")',
    "[x]: javascript:alert(1)\n\n[x]",
    "[x](http://a.b/'onclick='alert(1))",
    '```"><script>alert(1)</script>\nx\n```',
    "```python\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>`",
    "```html\n<script>alert(1)</script>\n```",
    '~~~"onclick=alert(1)\nx\n~~~',
    "$</math><script>alert(1)</script>$",
    r"$\text{<script>alert(1)</script>}$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$$\url{javascript:alert(1)}$$",
    r"\(\style{background:url(javascript:alert(1))}{x}\)",
    r"\[\class{a\" onclick=\"b}{x}\]",
    r"$\color{red\" onclick=\"alert(1)}{x}$",
    r"$\htmlData{onclick=alert(1)}{x}$",
    r"$\unicode{x3c}script$",
    r"$\textcolor{url(http://a.b)}{x}$",
    "$$" + "\\frac{" * 300 + "$$",
    "$" + "{" * 1900 + "$",
    '|a|\n|:-:" onclick=alert(1)|\n|<script>|',
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "[a](<javascript:alert(1)>)",
    "[\u202ea](http://a.b)",
    "a\x00b<\x00script>",
    "&lt;script&gt;",
    "# <iframe src=x>",
    "> <object data=x>",
    "- <form action=x>",
    '[x](mailto:a@b"onclick=alert(1))',
    "<style>*{}</style>",
]


class Reader(HTMLParser):
    """Reads as a browser would and holds every tag and attribute against the lists."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attributes:
            if tag in markdown.ELEMENTS:
                assert name in markdown.ATTRIBUTES and markdown.VALUE.fullmatch(value or ""), (tag, name, value)
                continue
            assert name in HTML_ATTRIBUTES.get(tag, set()), (tag, name)
            if name == "style":
                assert re.fullmatch("text-align:(left|right|center)", value or ""), value
        if tag == "a":
            found = dict(attributes)
            assert re.match("https?://|mailto:", found["href"] or "", re.IGNORECASE)
            assert "noopener" in (found["rel"] or "")
            self.links.append(found["href"] or "")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def check(text: str) -> Reader:
    reader = Reader()
    reader.feed(markdown.render(text))
    reader.close()
    return reader


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_text(attack: str) -> None:
    check(attack)
    check(f"before *{attack}* $x$ after\n\n- {attack}\n")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *ATTACKS,
                "$",
                "$$",
                "\\(",
                "\\)",
                "\\[",
                "\\]",
                "`",
                "```",
                "\n",
                "\n\n",
                "|",
                "<",
                ">",
                '"',
                "'",
                "*",
                "[",
                "]",
                "(",
                ")",
                "&",
                "\\",
                "{",
                "}",
                "^",
                "_",
                "\\frac",
                "\\text",
                "a",
                " ",
                "http://a.b",
            ]
        )
        | st.text(max_size=8),
        max_size=12,
    )
)
def test_nothing_runs_whatever_the_text(parts: list[str]) -> None:
    check("".join(parts))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "\\frac",
                "\\sqrt",
                "{",
                "}",
                "^",
                "_",
                "x",
                "\\text{<b>}",
                "&",
                "<",
                ">",
                "\\left(",
                "\\right)",
                "\\begin{matrix}",
                "\\end{matrix}",
                "\\\\",
                "\\color{red}",
                "\\href{a}{b}",
                "\\hspace{1em}",
                '"',
                " ",
            ]
        )
        | st.text(max_size=3),
        max_size=12,
    )
)
def test_formulas_are_mathml_or_code(parts: list[str]) -> None:
    made = markdown.formula("".join(parts))
    assert made.startswith(("<math", '<code class="math">'))
    reader = Reader()
    reader.feed(made)
    reader.close()


def test_what_it_is_for() -> None:
    made = markdown.render(
        "# Title\n\n**bold** ~~gone~~ [link](https://a.example/b?c=d)\n\n| a | b |\n|--:|---|\n| 1 | 2 |\n\n"
        "```python\ndef f(): return 1\n```\n\n```unknown\n<b>\n```\n"
    )
    assert "<h1>Title</h1>" in made and "<strong>bold</strong>" in made and "<s>gone</s>" in made and "<td>2</td>" in made
    assert '<span class="k">def</span>' in made and "&lt;b&gt;" in made
    assert check("[link](https://a.example/b?c=d) <http://b.example> [m](mailto:a@b.example)").links == [
        "https://a.example/b?c=d",
        "http://b.example",
        "mailto:a@b.example",
    ]


@pytest.mark.parametrize(
    ("text", "display"),
    [
        ("a $x^2$ b", "inline"),
        (r"a \(x^2\) b", "inline"),
        ("$$x^2$$", "block"),
        ("$$\nx^2\n$$", "block"),
        (r"\[x^2\]", "block"),
        ("\\[\nx^2\n\\]", "block"),
    ],
)
def test_formulas(text: str, display: str) -> None:
    assert f'<math display="{display}"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>' in markdown.render(text)


def test_money_and_code_are_no_formulas() -> None:
    for text in ("it costs $5 and $6", "`$x$`", "```\n$x$\n```", "a \\$x\\$"):
        assert "<math" not in markdown.render(text)


def test_a_formula_that_cannot_be_read_is_code() -> None:
    assert markdown.render(r"$\frac$") == '<p><code class="math">\\frac</code></p>\n'
    assert markdown.formula("x" * 3000) == f'<code class="math">{"x" * 3000}</code>'


def test_a_formula_on_lines_of_its_own_is_no_list() -> None:
    made = markdown.render("> \\[\n> a\n> - b\n> \\]\n\nand\n\\[\n- c \\]\n")
    assert made.count('<math display="block">') == 2 and "<li>" not in made and "&gt;" not in made


@pytest.mark.parametrize("piece", ["\\(", "\\[", "\\[\n", "$a", "$$", "[", "![", "`a``b", "<a ", "*a", "> ", "|a"])
def test_much_of_the_same_ends(piece: str) -> None:
    """What takes time squared wouldn't in ours."""
    check(piece * (20_000 // len(piece)))


def test_products_keep_their_stars_and_words_their_emphasis() -> None:
    assert markdown.render("17*9:7*9=63 and 2*3*4") == "<p>17*9:7*9=63 and 2*3*4</p>\n"
    assert markdown.render("*so* **5*6=30** *2*3*") == "<p><em>so</em> <strong>5*6=30</strong> <em>2*3</em></p>\n"
    assert markdown.render("3*a*4, ²*²*²") == "<p>3<em>a</em>4, ²<em>²</em>²</p>\n"
