"""The program: what goes wrong in a command becomes a message and an exit code here.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 3 verification failed, 4 provider or runtime missing, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from youtu_onnx.cli import console
from youtu_onnx.cli.app import app
from youtu_onnx.core.errors import ResourceError, YoutuOnnxError

TRACEBACK_VARIABLE = "YOUTU_ONNX_TRACEBACK"


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name); the exit code."""
    console.make_streams_safe()
    listed = list(sys.argv[1:] if args is None else args)
    # Wherever it stands: who has just seen a command fail adds it at the end.
    with_traceback = "--traceback" in listed or os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0")
    listed = [one for one in listed if one != "--traceback"]
    try:
        return _written(_run(listed))
    except KeyboardInterrupt:  # while the command line is still being read
        return 130
    except YoutuOnnxError as error:
        if isinstance(error, console.OutputError):
            console.drop_stdout()
        if with_traceback:
            raise
        return console.fail(error)
    except MemoryError:
        if with_traceback:
            raise
        return console.fail(ResourceError("out of memory", hint="close other programs, or use a smaller --max-tokens"))
    except OSError as error:
        if with_traceback:
            raise
        return _refused(error)
    except Exception as error:
        if with_traceback:
            raise
        console.error(
            f"unexpected {type(error).__name__}: {error}".splitlines()[0],
            f"this is a bug in youtu-onnx: run it again with --traceback (or {TRACEBACK_VARIABLE}=1) and report it",
        )
        return 1


def _written(code: int) -> int:
    """The exit code, if all that was printed reaches stdout."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        console.drop_stdout()
        return 128 + 13
    return code


def _refused(error: OSError) -> int:
    """A file system or a socket that doesn't do what was asked of it. The exit code."""
    where = f"{error.filename}: " if error.filename else ""
    hint = f"--traceback (or {TRACEBACK_VARIABLE}=1) shows where it came from"
    return console.fail(YoutuOnnxError(f"{where}{error.strerror or error}", hint=hint))


def _run(args: list[str]) -> int:
    try:
        app(args=args, prog_name="youtu-onnx")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
