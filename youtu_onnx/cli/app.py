"""The commands. Their modules import heavy libraries and are loaded when they run, so that ``youtu-onnx --help`` is quick."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from youtu_onnx.cli import console
from youtu_onnx.cli.flat import flat
from youtu_onnx.core.version import __version__

COMMANDS = {
    "run": "Talk with a model by its name: fetched, exported and prepared the first time, opened at once every other.",
    "list": "Say which bundles run keeps, how large they are, and when they were last used.",
    "rm": "Remove bundles that run keeps.",
    "ps": "Say which processes have a bundle open, and how much memory they take.",
    "export": "Export a checkpoint to a verified ONNX bundle.",
    "verify": "Check a bundle: files, graph, and (with --model) that it computes what PyTorch computes. Exit code 3: it doesn't.",
    "inspect": "Say what a bundle is: source, precision, sizes, memory at several lengths, operators.",
    "generate": "Reply to a prompt, streamed to stdout.",
    "chat": "Talk with the model. Lines come from the terminal or a pipe; /help lists the commands.",
    "explain": "Reply in steps that are checked, and show which tokens each layer kept.",
    "serve": "Serve a bundle over HTTP: OpenAI's API, a smaller one, and a web page.",
    "evaluate": "Say what rounding costs: perplexity and divergence on text, or held-out problems answered right.",
    "bench": "Measure tokens per second, time to first token and memory. Every combination of the lists is a test.",
    "adapter": "List the LoRA adapters that lie beside a bundle's weights, put one there, or take one away.",
    "prepare": "Keep a copy with weights packed for this CPU: less memory, quicker to open. It is used from then on.",
    "mobile": "Write a bundle for phones, and say how much memory it takes there.",
    "doctor": "Say what this machine has and what is missing. Exit code 4: no bundle, or not this one, can run here.",
    "demo": "Export the built-in youtu-nano to int4, verify it, and talk to it; or watch a MicroReason solve puzzles.",
}
"""Name → help. A command is the function of its name in the module of its name."""


class _Commands(TyperGroup):
    """Loads a command when it is asked for, and ends the program as other programs end: typer's versions differ in what they
    make of Ctrl-C and of a reader that leaves."""

    _listing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._listing:
            return self.commands.get(cmd_name)
        return _loaded(cmd_name) if cmd_name in COMMANDS else None

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Names and help of commands, none of which is loaded for it."""
        self._listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in ``--help``, which loads none of them."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit)) for name, command in self.commands.items()])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `youtu-onnx … | head`: the reader has what it wanted
            console.drop_stdout()
            raise SystemExit(128 + 13) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        finally:
            console.clear()


def _loaded(name: str) -> Any:
    function = getattr(importlib.import_module(f"youtu_onnx.cli.{name}"), name)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, help=COMMANDS[name])(flat(function))
    return get_command(alone)


def _not_loaded() -> None:
    """In the place of a command whose module is not loaded: name and help are known."""


app = typer.Typer(
    name="youtu-onnx",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_not_loaded)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from; may stand anywhere.")] = False,
) -> None:
    """Export Youtu-LLM to ONNX with a latent KV cache, check it against PyTorch, and run it anywhere."""
