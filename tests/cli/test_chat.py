"""``youtu-onnx chat`` as a user meets it: through a pipe, and on a pseudo-terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.cli_process import run
from youtu_onnx.cli.talk.saved import load, save
from youtu_onnx.core.errors import UsageError


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


def test_a_conversation_in_a_terminal(bundle: Path) -> None:
    terminal = Terminal(bundle, "--max-tokens", "24")
    terminal.expect(">")
    terminal.send("What is 2+2?\n")
    terminal.expect("\n>")
    assert "Traceback" not in terminal.seen
    terminal.send("\x04")
    assert terminal.end() == 0


def test_ctrl_c_stops_an_answer_but_not_the_chat_and_twice_at_the_prompt_leaves(bundle: Path) -> None:
    # temperature 50 is noise that hardly ever ends by itself: the answer surely is still running
    terminal = Terminal(bundle, "--max-tokens", "900", "--temperature", "50", "--top-k", "0", "--seed", "1")
    terminal.expect(">")
    terminal.send("Hello\n")
    terminal.expect("Hello")
    terminal.expect("\r\n")
    terminal.interrupt_the_answer()
    terminal.expect("\n>")
    assert terminal.process.poll() is None
    terminal.send("\x03")
    terminal.expect("Ctrl-C again")
    terminal.expect(">")
    terminal.send("\x03")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen


def said(file: Path) -> list[str]:
    """What a saved conversation's user asked."""
    return [one["content"] for one in json.loads(file.read_text(encoding="utf-8"))["messages"] if one["role"] == "user"]


def test_a_pasted_text_is_one_question_and_a_line_break_can_be_typed(bundle: Path, tmp_path: Path) -> None:
    terminal = Terminal(bundle, "--max-tokens", "4", "--no-thinking")
    terminal.expect(">")
    terminal.send("\x1b[200~What is\n你好 😀\n47 + 38?\x1b[201~")
    terminal.send("\r")
    terminal.expect("tokens")
    terminal.expect("\n>")
    terminal.resize(24, 30)
    terminal.send("one\x1b\rtwo\r")
    terminal.expect("tokens")
    terminal.expect("\n>")
    terminal.send(f"/save {tmp_path}/saved.json\r")
    terminal.expect("written to")
    terminal.send("\x04")
    assert terminal.end() == 0
    assert said(tmp_path / "saved.json") == ["What is\n你好 😀\n47 + 38?", "one\ntwo"]
    assert "Traceback" not in terminal.seen


def test_a_long_prompt_is_seen_to_be_read_and_the_speed_of_its_answer_is_said(bundle: Path) -> None:
    terminal = Terminal(bundle, "--max-tokens", "4", "--no-thinking")
    terminal.expect(">")
    terminal.send(f"\x1b[200~{'x ' * 700}\x1b[201~\r")
    terminal.expect("reading the prompt")
    terminal.expect("tokens/s")
    terminal.expect("\n>")
    terminal.send("/stats\r")
    terminal.expect("its prompt   7")
    terminal.expect("of 1,024 tokens")
    terminal.send("\x04")
    assert terminal.end() == 0 and "Traceback" not in terminal.seen


def test_history_lasts_commands_are_completed_and_the_last_question_can_be_edited(bundle: Path, tmp_path: Path) -> None:
    first = Terminal(bundle, "--max-tokens", "4", "--no-thinking", state=tmp_path)
    first.expect(">")
    first.send("\x1b[200~Hello\nyou\x1b[201~\r")
    first.expect("tokens")
    first.expect("\n>")
    first.send("\x04")
    assert first.end() == 0
    [file] = (tmp_path / "youtu-onnx").iterdir()
    assert file.stat().st_mode & 0o077 == 0
    second = Terminal(bundle, "--max-tokens", "4", "--no-thinking", state=tmp_path)
    second.expect(">")
    second.send("\x1b[A")
    second.expect("you")
    second.send("\r")
    second.expect("tokens")
    second.expect("\n>")
    second.send("/edit\r")
    second.expect("Hello")
    second.send(" there\r")
    second.expect("tokens")
    second.expect("\n>")
    second.send("/sa")
    second.expect("/save FILE")  # in the menu
    second.send("\t")
    second.expect("\bve")  # what Tab put behind what was typed
    second.send(f" {tmp_path}/saved.json\r")
    second.expect("written to")
    second.send("\x04")
    assert second.end() == 0
    assert said(tmp_path / "saved.json") == ["Hello\nyou there"]


def test_commands_through_a_pipe(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved.json"
    lines = [
        "/retry", "/stats", "What is 47 + 38?", "/retry", "/edit", "/edit What is 1 + 2?", "/stats", "/system Be kind.",
        "/set temperature 0.5", "/set greedy on", "/set top_z 1", "/set seed x", "/set seed", f"/save {file}", "/reset",
        f"/load {file}", "/system -", "/system", "/load", "/load /nowhere/x.json", "/exit now",
    ]  # fmt: skip
    out, err = chat(bundle, "\n".join(lines), "--no-thinking", "--greedy")
    sum_, again, other = out.splitlines()
    assert (sum_, again) == (
        run("generate", bundle, "What is 47 + 38?", "--no-thinking", "--max-tokens", "12").stdout.decode().strip(),
    ) * 2
    assert other == run("generate", bundle, "What is 1 + 2?", "--no-thinking", "--max-tokens", "12").stdout.decode().strip()
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert saved["model"] == "youtu-nano"
    assert [one["role"] for one in saved["messages"]] == ["system", "user", "assistant"] and said(file) == ["What is 1 + 2?"]
    for told in (
        "nothing was asked yet", "nothing was answered yet", "the answer will be the same", "last answer  ", " of 1,024 tokens",
        "system: Be kind.", "there is no system message", "temperature  0.5", "greedy       on", "no setting top_z",
        "seed is 'x'", "/edit without a text is for terminals",
        "/set seed needs a value", "2 messages; the conversation goes on", "/load needs a file", "can't read /nowhere/x.json",
        "/exit stands alone",
    ):  # fmt: skip
        assert told in err, (told, err)


def test_a_file_that_is_no_conversation_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    for number, text in enumerate(
        ("text", "{}", "[1]", '{"messages": [{"role": "boss", "content": "x"}]}', '[{"role": "user"}]')
    ):
        file = tmp_path / f"{number}.json"
        file.write_text(text)
        for attempt in (lambda path: load(path), lambda path: save(path, "m", [])):
            with pytest.raises(UsageError, match="is no conversation"):
                attempt(file)
        assert file.read_text() == text
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c\nd"}]
    save(tmp_path / "own.json", "m", messages)
    save(tmp_path / "own.json", "m", messages)
    assert load(tmp_path / "own.json") == messages
    save(tmp_path / "own.md", "m", messages)
    assert (tmp_path / "own.md").read_text() == "# A conversation with m\n\n## You\n\na\n\n## Model\n\n> c\n> d\n\nb\n"
    with pytest.raises(UsageError, match="is there already"):
        save(tmp_path / "own.md", "m", messages)
