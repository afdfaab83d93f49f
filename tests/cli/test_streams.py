"""stdin, stdout and stderr as services, cron, full disks and Windows make them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.cli_process import ROOT, failed, run
from youtu_onnx.cli.app import COMMANDS
from youtu_onnx.core.decoding import decoded
from youtu_onnx.core.errors import UsageError
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems

SHELL = pytest.mark.skipif(os.name == "nt", reason="needs a Unix shell")


@pytest.fixture(scope="module")
def bundle(nano_bundle: Callable[..., Path]) -> Path:
    return nano_bundle()


@pytest.fixture(scope="module")
def commands(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Each command with arguments that make it work, or fail for a reason of its own, within a second or two."""
    few = tmp_path_factory.mktemp("problems") / "few.jsonl"
    few.write_text("\n".join(HELD_OUT.read_text(encoding="utf-8").splitlines()[:1]), encoding="utf-8")
    nothing = str(few.with_name("nothing"))
    return {
        "run": [str(bundle), "hello", "--max-tokens", "2"],
        "list": [],
        "rm": ["nothing"],
        "ps": [],
        "export": ["-m", nothing, "-o", f"{nothing}-made"],
        "verify": [str(bundle)],
        "inspect": [str(bundle)],
        "generate": [str(bundle), "-p", "-", "--max-tokens", "2"],
        "chat": [str(bundle), "--max-tokens", "2"],
        "explain": [str(bundle), "-p", "hello", "--max-tokens", "2"],
        "serve": [nothing],
        "evaluate": [str(bundle), "--problems", str(few)],
        "bench": [str(bundle), "-p", "4", "-n", "2", "-r", "1"],
        "prepare": ["--list"],
        "adapter": [str(bundle), "--json"],
        "mobile": [str(bundle)],
        "doctor": [],
        "demo": ["--no-such-option"],
    }


def shell(arguments: list[str], streams: str, tmp_path: Path) -> tuple[int, str]:
    """Exit code, and what was said on a stream that is not among those that ``streams`` redirects."""
    said = tmp_path / "said"
    words = " ".join(f"'{one}'" for one in (sys.executable, "-m", "youtu_onnx.cli", *arguments))
    environment = {**os.environ, "PYTHONUTF8": "1", "YOUTU_ONNX_CACHE": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", f"{words} {streams.replace('SAID', str(said))}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=120,
    )
    text = done.stdout + done.stderr + (said.read_bytes() if said.exists() else b"")
    return done.returncode, text.decode()


STATES = ("<&- >&- 2>SAID", "0>/dev/null >SAID 2>/dev/full", ">/dev/full 2>&-")
THOROUGH = ("generate", "chat", "export", "doctor")
"""Commands that meet every state: one that reads and writes, one that asks, one with progress, one with tables."""


@SHELL
@pytest.mark.parametrize(
    ("command", "streams"),
    [(one, state) for i, one in enumerate(COMMANDS) for j, state in enumerate(STATES) if one in THOROUGH or i % len(STATES) == j],
)
def test_no_state_of_the_streams_is_a_bug(commands: dict[str, list[str]], command: str, streams: str, tmp_path: Path) -> None:
    if "/dev/full" in streams and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    code, text = shell([command, *commands[command]], streams, tmp_path)
    assert code in (0, 1, 2, 4), (code, text)
    assert "bug in youtu-onnx" not in text and "Traceback" not in text and "Exception ignored" not in text


@SHELL
@pytest.mark.parametrize("streams", [">&- 2>SAID", ">/dev/full 2>SAID"])
@pytest.mark.parametrize("command", ["inspect", "doctor", "bench", "--version", "--help"])
def test_a_result_that_can_not_be_written_is_an_error(
    commands: dict[str, list[str]], command: str, streams: str, tmp_path: Path
) -> None:
    code, text = shell([command, *commands.get(command, [])], streams, tmp_path)
    assert code == 1 and "error: stdout can't be written to: " in text


@SHELL
def test_without_stdin_a_chat_is_over_and_a_prompt_is_empty(bundle: Path, tmp_path: Path) -> None:
    assert shell(["chat", str(bundle)], "<&-", tmp_path) == (0, "")
    code, text = shell(["generate", str(bundle), "-p", "-"], "<&-", tmp_path)
    assert code == 2 and "error: the prompt is empty" in text
    code, text = shell(["generate", str(bundle), "-p", "-"], "0>/dev/null", tmp_path)
    assert code == 1 and "error: stdin can't be read: " in text


@SHELL
def test_closed_streams_lend_their_numbers_to_no_file(bundle: Path, tmp_path: Path) -> None:
    """Else what is said would be written into it."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "from youtu_onnx.cli import console\n"
        "console.make_streams_safe()\n"
        "file = open(sys.argv[1], 'w')\n"
        "print('lost', file=sys.stderr, flush=True)\n"
        "file.write('kept'); file.close()\n"
        "sys.exit(file is None or 0)\n"
    )
    made = tmp_path / "made"
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' '{program}' '{made}' <&- >&- 2>&-"], cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 0 and made.read_text() == "kept"


@SHELL
def test_a_server_without_streams(bundle: Path, tmp_path: Path) -> None:
    port = "18733"
    words = f"exec '{sys.executable}' -m youtu_onnx.cli serve '{bundle}' --port {port} <&- >&- 2>&-"
    process = subprocess.Popen(["bash", "-c", words], cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/health").json()["status"] == "ok"
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_prompts_in_files_of_windows(bundle: Path, codec: str) -> None:
    """Notepad's mark, and what ``>`` writes in PowerShell 5."""
    wanted = run("generate", bundle, "-p", "grüße 你好", "--max-tokens", "8", "--json").stdout
    for end in ("", "\n", "\r\n"):
        data = f"grüße 你好{end}".encode(codec)
        assert run("generate", bundle, "-p", "-", "--max-tokens", "8", "--json", stdin=data).stdout == wanted


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"caf\xe9", "stdin is not UTF-8: byte 0xe9 at 3"),
        ("Hi there".encode("utf-16-le"), "a zero in every second byte"),
        (b"\xff\xfe odd?", "begins as UTF-16 or UTF-32 does, but isn't"),
    ],
)
def test_what_is_no_text_is_refused_by_name(bundle: Path, data: bytes, message: str) -> None:
    assert message in failed(run("generate", bundle, "-p", "-", stdin=data), 2)
    with pytest.raises(UsageError, match=message.removeprefix("stdin ")):
        decoded(data, "stdin")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: not a problem"),
        ("[1]", "line 3: not a problem \\(no object but list"),
        ('{"id": 1}', "line 3: not a problem \\(no family"),
        ('{"id": 1, "family": "x", "language": "en", "prompt": null, "answer": "1"}', "prompt is null, not text"),
        ("[" * 100_000, "line 3: not a problem"),
        ("1" * 10_000, "line 3: not a problem"),
    ],
)
def test_broken_lines_of_problems_are_named(tmp_path: Path, line: str, message: str) -> None:
    good = {"id": 1, "family": "x", "language": "en", "prompt": "a\u2028b\u0085c", "answer": 42}
    file = tmp_path / "problems.jsonl"
    file.write_text(f"{json.dumps(good, ensure_ascii=False)}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_problems(file)
    for codec in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_bytes(f"{json.dumps(good, ensure_ascii=False)}\r\n".encode(codec))
        [read] = read_problems(file)
        assert (read.prompt, read.answer) == ("a\u2028b\u0085c", "42")
