"""``youtu-onnx chat`` as a user meets it: through a pipe, and on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli_process import ROOT, run


@pytest.fixture(scope="module")
def bundle(nano_bundle: Callable[..., Path]) -> Path:
    return nano_bundle("int4")


def chat(bundle: Path, text: str, *options: str) -> tuple[str, str]:
    done = run("chat", bundle, "--max-tokens", "12", *options, stdin=text.encode())
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def test_piped_lines_are_answered_without_prompts(bundle: Path) -> None:
    out, err = chat(bundle, "Hello\n\n  \nHello\n")
    alone = run("generate", bundle, "-p", "Hello", "--max-tokens", "12").stdout.decode()
    assert out.startswith(alone) and len(out) > len(alone)
    assert err == "" and ">" not in out.replace("<think>", "").replace("</think>", "")


def test_reset_forgets(bundle: Path) -> None:
    out, err = chat(bundle, "Hello\n/reset\nHello\n")
    assert out == 2 * run("generate", bundle, "-p", "Hello", "--max-tokens", "12").stdout.decode()
    assert "anew" in err


def test_commands(bundle: Path) -> None:
    out, err = chat(bundle, "/help\n/nonsense\n/exit\nHello\n")
    assert out == "" and "/reset" in err and "/nonsense" in err


def test_a_message_too_long_is_told_about_and_the_chat_goes_on(bundle: Path) -> None:
    out, err = chat(bundle, "x " * 3000 + "\nHello\n")
    assert "context of 1024" in err and "Traceback" not in err
    assert out == run("generate", bundle, "-p", "Hello", "--max-tokens", "12").stdout.decode()


def test_lines_in_other_encodings(bundle: Path) -> None:
    out, _ = chat(bundle, "Hello\nBye\n")
    for data in ("Hello\r\nBye\r\n".encode("utf-8-sig"), "Hello\r\nBye".encode("utf-16"), "Hello\nBye\n".encode("utf-32")):
        assert run("chat", bundle, "--max-tokens", "12", stdin=data).stdout.decode() == out


def test_a_line_that_is_no_text_is_told_about_and_passed_over(bundle: Path) -> None:
    out, _ = chat(bundle, "Hello\nBye\n")
    done = run("chat", bundle, "--max-tokens", "12", stdin=b"Hello\ncaf\xe9\nBye\n")
    assert (done.returncode, done.stdout.decode()) == (0, out)
    assert "line 2 of stdin is not UTF-8: byte 0xe9 at 3" in done.stderr.decode()


class Terminal:
    """A chat on a pseudo-terminal."""

    def __init__(self, bundle: Path, *options: str) -> None:
        self.master, slave = pytest.importorskip("pty", reason="needs a Unix terminal").openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "youtu_onnx.cli", "chat", bundle, *options],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"},
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen, self.met = "", 0

    def expect(self, text: str) -> None:
        """Read until ``text`` shows, from where the last expectation was met on."""
        deadline = time.monotonic() + 60
        while text not in self.seen[self.met :]:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {text!r} in {self.seen[self.met :]!r}"
            self.seen += os.read(self.master, 4096).decode("utf-8", "replace")
        self.met = self.seen.index(text, self.met) + len(text)

    def interrupt_the_answer(self) -> None:
        """Ctrl-C as soon as something of the answer shows: a small model is done with 900 tokens within a second."""
        while not re.search(r"\w", re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.seen[self.met :])):
            self.seen += os.read(self.master, 4096).decode("utf-8", "replace")
        os.write(self.master, b"\x03")

    def send(self, keys: str) -> None:
        time.sleep(0.3)  # readline shows its prompt shortly before it can be interrupted
        os.write(self.master, keys.encode())

    def end(self) -> int:
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            os.close(self.master)


def test_a_conversation_in_a_terminal(bundle: Path) -> None:
    terminal = Terminal(bundle, "--max-tokens", "24")
    terminal.expect("> ")
    terminal.send("What is 2+2?\n")
    terminal.expect("\n> ")
    assert "Traceback" not in terminal.seen
    terminal.send("\x04")
    assert terminal.end() == 0


def test_ctrl_c_stops_an_answer_but_not_the_chat_and_twice_at_the_prompt_leaves(bundle: Path) -> None:
    # temperature 50 is noise that hardly ever ends by itself: the answer surely is still running
    terminal = Terminal(bundle, "--max-tokens", "900", "--temperature", "50", "--top-k", "0", "--seed", "1")
    terminal.expect("> ")
    terminal.send("Hello\n")
    terminal.expect("Hello\r\n")
    terminal.interrupt_the_answer()
    terminal.expect("\n> ")
    assert terminal.process.poll() is None
    terminal.send("\x03")
    terminal.expect("Ctrl-C again")
    terminal.expect("> ")
    terminal.send("\x03")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen
