"""The list of commands. Their modules import heavy libraries inside the functions, so that ``--help`` is quick."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from youtu_onnx.cli import bench, chat, console, demo, doctor, evaluate, export, generate, inspect, mobile, prepare, serve, verify
from youtu_onnx.core.version import __version__


class _Commands(TyperGroup):
    """Ends the program as other programs end; typer's versions differ in what they make of these two."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `youtu-onnx … | head`: the reader has what it wanted
            console.drop_stdout()
            raise SystemExit(128 + 13) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        finally:
            console.stop_progress()


app = typer.Typer(
    name="youtu-onnx",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(export.export)
app.command()(verify.verify)
app.command()(inspect.inspect)
app.command()(generate.generate)
app.command()(chat.chat)
app.command()(serve.serve)
app.command()(evaluate.evaluate)
app.command()(bench.bench)
app.command()(prepare.prepare)
app.command()(mobile.mobile)
app.command()(doctor.doctor)
app.command()(demo.demo)


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
    """Export Youtu-LLM to ONNX with a latent KV cache, prove it equal to PyTorch, and run it anywhere."""
