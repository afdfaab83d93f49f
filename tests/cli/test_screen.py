"""What a user sees of ``youtu-onnx chat`` in a real terminal emulator, tmux: wide characters, and a window that changes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli_process import ROOT

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (Debian: apt-get install tmux)")


class Screen:
    """A window of tmux with a chat in it."""

    def __init__(self, bundle: Path, columns: int) -> None:
        self.name = f"youtu-{uuid.uuid4().hex[:8]}"
        words = [sys.executable, "-m", "youtu_onnx.cli", "chat", bundle, "--no-thinking", "--max-tokens", "4", "--no-history"]
        command = " ".join(shlex.quote(str(word)) for word in words)
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", str(columns), "-y", "20", "-c", str(ROOT), command)

    def tmux(self, *words: str) -> str:
        environment = {**os.environ, "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(["tmux", "-u", "-L", self.name, *words], env=environment, capture_output=True, check=True)
        return done.stdout.decode()

    def shows(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        """The lines on the screen, as soon as they are as wanted."""
        end = time.monotonic() + 90
        while True:
            lines = [line.rstrip() for line in self.tmux("capture-pane", "-p").splitlines()]
            if wanted(lines):
                return lines
            assert time.monotonic() < end, lines
            time.sleep(0.1)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)


@pytest.fixture
def screen(nano_bundle: Callable[..., Path]) -> Iterator[Screen]:
    made = Screen(nano_bundle(), 60)
    try:
        made.shows(lambda lines: ">" in lines)
        yield made
    finally:
        subprocess.run(["tmux", "-L", made.name, "kill-server"], capture_output=True, check=False)


def test_wide_characters_and_a_window_that_shrinks(screen: Screen, tmp_path: Path) -> None:
    wide = "你好世界" * 10  # 80 columns, which is more than the window has
    screen.type(wide)
    screen.shows(
        lambda lines: any(line == f"> {wide[:29]}" for line in lines) and any(line.strip() == wide[29:] for line in lines)
    )
    screen.tmux("resize-window", "-x", "40")
    screen.shows(lambda lines: any(line == f"> {wide[:19]}" for line in lines) and wide[19:38] in map(str.strip, lines))
    screen.press("BSpace")  # takes the last character away, which is two columns wide
    screen.press("Home")
    screen.type("A")
    screen.shows(lambda lines: any(line.startswith("> A你好") for line in lines))
    screen.press("M-Enter")
    screen.press("Enter")
    screen.shows(lambda lines: any("tokens" in line for line in lines) and lines[-1] != ">" and ">" in lines)
    screen.tmux("resize-window", "-x", "70")
    screen.type(f"/save {tmp_path}/s.json")
    screen.press("Enter")
    screen.shows(lambda lines: "written to" in "".join(lines))
    screen.press("C-d")
    messages = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["messages"]
    assert messages[0]["content"] == f"A\n{wide[:-1]}"


def test_a_paste_is_shown_whole_and_waits_for_enter(screen: Screen) -> None:
    screen.tmux("set-buffer", "one\n二 two\nthree")
    screen.tmux("paste-buffer", "-p")
    screen.shows(lambda lines: [line for line in lines if line][-3:] == ["> one", "  二 two", "  three"])
    screen.press("C-c")
    screen.shows(lambda lines: any("Ctrl-C again" in line for line in lines))
