"""Docs that can go stale are held to the code: links, commands, options, numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from docs.pictures import layers_picture
from youtu_onnx.families.youtu.cache import cache_layout

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "training", "runtimes/consumers", "youtu_onnx")
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).glob("**/*.md")))
    if "node_modules" not in page.parts
)


def commands():
    from youtu_onnx.cli.app import app

    group = typer.main.get_command(app)
    return {name: group.get_command(None, name) for name in group.commands}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not link.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / link).exists(), link


def test_the_picture_of_the_layers_is_the_contracts():
    """Drawn by ``python -m docs.pictures.layers_picture``."""
    assert (ROOT / "docs" / "pictures" / "layers.svg").read_text(encoding="utf-8") == layers_picture.picture()


def test_the_reference_has_every_command_and_option():
    """Written by ``typer youtu_onnx.cli.app utils docs --name youtu-onnx --output docs/cli.md``."""
    sections = re.split(r"^## `youtu-onnx ", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    documented = {section.split("`")[0]: section for section in sections}
    assert documented.keys() == commands().keys()
    for name, command in commands().items():
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-"):
                    assert option in documented[name], f"{name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_exist(page):
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^(?:\$ )?youtu-onnx ([a-z]+)(.*)$", text, flags=re.MULTILINE):
        name, rest = line
        assert name in commands(), name
        known = {option for p in commands()[name].params for option in (*p.opts, *p.secondary_opts)}
        for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*\b", rest.split("#")[0]):
            assert option in known | {"--help", "--version"}, f"{name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_modules_in_the_text_exist(page):
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w/.])(?:benchmarks|exporters|runtimes|tests|tools|training|youtu_onnx)/[\w./-]*\w", text)
    modules = re.findall(r"python3? -m ((?:benchmarks|docs|tests|tools|training|youtu_onnx)[\w.]*)", text)
    files = [ROOT / path for path in paths] + [ROOT / module.replace(".", "/") for module in modules]
    assert [file for file in files if not (file.exists() or file.with_suffix(".py").exists())] == []


def test_the_readmes_have_the_same_commands_and_links():
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    for pattern in (r"`youtu-onnx [a-z]+`", r"\((docs/[^)]+)\)"):
        assert set(re.findall(pattern, english)) == set(re.findall(pattern, chinese))
    blocks = [re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL) for page in (english, chinese)]
    commands = [[text for language, text in found if not language] for found in blocks]
    assert len(commands[0]) > 4 and commands[0] == commands[1]


def test_numbers_about_the_cache():
    from benchmarks.shapes import YOUTU_LLM_2B

    assert YOUTU_LLM_2B.parameters == 1_961_560_064
    kib = {form: cache_layout(YOUTU_LLM_2B, form, "float16").bytes_per_token / 1024 for form in ("latent", "expanded")}
    assert kib == {"latent": 36, "expanded": 320}
    picture = (ROOT / "docs" / "pictures" / "cache.svg").read_text(encoding="utf-8")
    assert all(f"{size:.0f} KiB" in picture for size in kib.values())


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_explains_itself(name, capsys):
    """Also with the lowest typer that pyproject.toml allows: some can't write the help of an option with a metavar."""
    from youtu_onnx.cli import main

    assert main([name, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_tests_for_the_lowest_versions_are_there():
    from tools.minimum import ENVIRONMENTS

    for environment in ENVIRONMENTS.values():
        assert [path for path in environment.tests if not (ROOT / path).exists()] == []
