"""The table of commands: each is loaded when it is asked for, and those that need an extra say which."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from tests.cli_process import failed, run
from youtu_onnx.cli.app import COMMANDS
from youtu_onnx.cli.flat import flat
from youtu_onnx.core.deferred import Deferred, load
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.evaluate.problem import HELD_OUT

EXPORTING = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "safetensors", "huggingface_hub")
EXTRAS = (*EXPORTING, "fastapi", "uvicorn", "prometheus_client")
COMMAND_LINE = "from youtu_onnx.cli import main; sys.exit(main())"


def without(*modules: str, program: str = COMMAND_LINE) -> tuple[str, str]:
    """A program where these can't be imported."""
    return ("-c", f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n{program}")


def test_the_list_has_every_command_with_its_help_and_loads_none() -> None:
    listed = run("--help", program=without(*(f"youtu_onnx.cli.{name}" for name in COMMANDS)), COLUMNS="200").stdout.decode()
    for name, text in COMMANDS.items():
        assert f"  {name} " in listed and text.split(".")[0][:40] in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_needs_no_extra(name: str) -> None:
    done = run(name, "--help", program=without(*EXTRAS))
    assert done.returncode == 0, done.stderr.decode()
    assert f"Usage: youtu-onnx {name}" in done.stdout.decode()
    assert COMMANDS[name][:40] in done.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (("export", "-m", "youtu-nano", "-o", "nowhere"), "torch", "export"),
        (("demo", "-o", "nowhere"), "torch", "export"),
        (("serve", "nowhere"), "fastapi", "serve"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_brings_it(arguments: tuple[str, ...], missing: str, extra: str) -> None:
    text = failed(run(*arguments, program=without(missing)), 1)
    assert missing in text and f'pip install "youtu-onnx[{extra}]"' in text


@pytest.mark.parametrize(
    "command",
    [
        ("bench", "-p", "8", "-n", "2", "-r", "1"),
        ("inspect",),
        ("verify",),
        ("doctor",),
        ("mobile",),
        ("evaluate", "--problems", "PROBLEMS"),
    ],
    ids=lambda command: command[0],
)
def test_what_is_done_with_a_bundle_needs_no_extra_for_exporting(
    nano_bundle: Callable[..., Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text(HELD_OUT.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    name, *options = [one if part == "PROBLEMS" else part for part in command]
    done = run(name, nano_bundle(), *options, program=without(*EXPORTING))
    assert done.returncode == 0, done.stderr.decode()


def test_a_server_needs_no_extra_for_exporting() -> None:
    assert run(program=without(*EXPORTING, program="import youtu_onnx.serve.http.serving")).returncode == 0


def test_doctor_runs_where_onnxruntime_is_broken() -> None:
    done = run("doctor", program=without("onnxruntime"))
    assert done.returncode in (0, 4), done.stderr.decode()  # the trial of the provider runs in a process of its own
    assert "packages   for running" in done.stdout.decode()


def test_an_unknown_command_is_told_apart() -> None:
    assert "chta" in failed(run("chta"), 2).lower()


def test_python_m_youtu_onnx_is_the_program() -> None:
    one, other = (run("--help", program=("-m", module)) for module in ("youtu_onnx", "youtu_onnx.cli"))
    assert one.returncode == 0 and one.stdout == other.stdout


# Options as objects


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.")] = 3
    names: Annotated[list[str] | None, typer.Option("--name")] = None


@dataclass(frozen=True)
class Box(Size):
    height: Annotated[int, typer.Option("--height")] = 5


def called(command: Any, *arguments: str) -> str:
    app = typer.Typer(add_completion=False)
    app.command()(flat(command))
    return CliRunner().invoke(app, list(arguments)).output


def test_fields_become_options_in_the_place_of_the_object() -> None:
    def command(first: Annotated[int, typer.Argument()], *, size: Box, last: bool = False) -> None: ...

    parameters = inspect.signature(flat(command)).parameters
    assert list(parameters) == ["first", "width", "names", "height", "last"]
    assert parameters["width"].default == 3 and parameters["first"].default is inspect.Parameter.empty


def test_a_command_gets_its_object() -> None:
    def command(first: str, *, size: Box, last: bool = False) -> None:
        print(first, size, last)

    assert called(command, "x").strip() == "x Box(width=3, names=None, height=5) False"
    given = called(command, "x", "--width", "7", "--name", "a", "--name", "b", "--height", "1", "--last")
    assert given.strip() == "x Box(width=7, names=['a', 'b'], height=1) True"
    assert "How wide." in called(command, "--help")


# Modules that need an extra


def test_a_deferred_module_is_imported_when_something_of_it_is_used() -> None:
    assert Deferred("youtu_onnx.core.version", "this").__version__ == load("youtu_onnx.core.version", "this").__version__
    nowhere = Deferred("youtu_onnx.no_such_module", "this")  # no error yet
    with pytest.raises(ModuleNotFoundError):  # a bug, and nothing that pip would bring
        _ = nowhere.anything


@pytest.mark.parametrize(("extra", "command"), [(None, "pip install youtu-onnx"), ("x", 'pip install "youtu-onnx[x]"')])
def test_what_to_install_is_said(extra: str | None, command: str) -> None:
    with pytest.raises(YoutuOnnxError, match=r"this needs packages that aren't installed \(no_such_package\)") as raised:
        load("no_such_package.module", "this", extra)
    assert raised.value.hint == command
