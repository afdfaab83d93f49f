"""What mkdocs asks of this repository (``hooks`` in ``mkdocs.yml``).

The README is the site's first page without being a second file: pages that lie outside of ``docs/`` are added under a name of
their own. And a link to a source file, which works on a code host because it is relative, gets an address where ``repo_url`` in
``mkdocs.yml`` says one; until then the site shows its words without a link. What leads nowhere is left to ``mkdocs build
--strict``, which refuses it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "README.zh.md": "zh.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "training/nano/README.md": "nano.md",
}
"""File of the repository → page of the site."""
INSIDE = {page: file for file, page in OUTSIDE.items()}
LINK = re.compile(r"(?P<image>!?)\[(?P<words>(?:[^][]|!\[[^][]*\]\([^()\s]*\))*)\]\((?P<to>[^()\s#]+)(?P<anchor>#[^()\s]*)?\)")
ROLE = re.compile(r":(?:class|data|func|meth|mod):(?=<code>)")
"""What docstrings put before a name; the site shows the name alone."""
FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    name = page.file.src_uri
    source = INSIDE.get(name, f"docs/{name}")
    parts = FENCE.split(markdown)  # text and code in turn
    parts[::2] = [_with_addresses(text, source, name, config.repo_url) for text in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return ROLE.sub("", html)


def _with_addresses(text: str, source: str, page: str, repository: str | None) -> str:
    """``text`` of the file ``source``, with its links as they must stand on ``page``. Both are paths with ``/``."""

    def changed(link: re.Match[str]) -> str:
        to, anchor = link["to"], link["anchor"] or ""
        words = LINK.sub(changed, link["words"])  # a picture that is a link
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
        if ":" in to or not (ROOT / file).exists():
            return link[0]
        inside = OUTSIDE.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
        if inside is not None:
            return f"{link['image']}[{words}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{anchor})"
        if repository:
            return f"{link['image']}[{words}]({repository.rstrip('/')}/blob/main/{file}{anchor})"
        return words

    return LINK.sub(changed, text)
