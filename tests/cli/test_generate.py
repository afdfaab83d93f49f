"""``youtu-onnx generate`` as a user meets it: real processes, real exit codes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import pytest

from tests.cli_process import ROOT, failed, run

NO_TORCH = """
import sys
sys.modules.update(torch=None, transformers=None, onnx=None, onnxscript=None, safetensors=None)
from youtu_onnx.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def bundle(nano_bundle: Callable[..., Path]) -> Path:
    return nano_bundle("int4")


def test_it_streams_the_text_and_nothing_else(bundle: Path) -> None:
    done = run("generate", bundle, "--prompt", "Hello", "--max-tokens", "16")
    reply = json.loads(run("generate", bundle, "--prompt", "Hello", "--max-tokens", "16", "--json").stdout)
    assert done.returncode == 0 and done.stderr == b""
    assert done.stdout.decode() == reply["text"] + "\n"


def test_json_has_the_whole_reply(bundle: Path) -> None:
    reply = json.loads(run("generate", bundle, "-p", "你好 😀", "--json", "--max-tokens", "8", "--no-thinking").stdout)
    assert set(reply) == {"text", "thinking", "answer", "token_ids", "finish_reason", "usage"}
    assert reply["finish_reason"] in ("stop", "length")
    assert reply["usage"]["completion_tokens"] == len(reply["token_ids"]) <= 8
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + len(reply["token_ids"])


def test_json_is_json_on_a_terminal_that_is_not_utf8(bundle: Path) -> None:
    done = run("generate", bundle, "-p", "你好", "--json", "--max-tokens", "12", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    reply = json.loads(run("generate", bundle, "-p", "你好", "--json", "--max-tokens", "12").stdout)
    assert json.loads(done.stdout) == reply


def test_it_needs_no_torch(bundle: Path) -> None:
    for runtime in ("ort", "genai"):
        done = run("generate", bundle, "-p", "Hello", "--max-tokens", "4", "--runtime", runtime, program=("-c", NO_TORCH))
        assert done.returncode == 0, done.stderr.decode()
    assert run("chat", bundle, "--max-tokens", "4", stdin=b"Hello\n", program=("-c", NO_TORCH)).returncode == 0


def test_the_prompt_may_come_from_stdin(bundle: Path) -> None:
    by_option = run("generate", bundle, "-p", "grüße", "--max-tokens", "8", "--json")
    for text in ("grüße", "grüße\n", "grüße\r\n"):
        assert run("generate", bundle, "-p", "-", "--max-tokens", "8", "--json", stdin=text.encode()).stdout == by_option.stdout


def test_the_question_may_stand_behind_the_bundle_or_come_through_a_pipe(bundle: Path) -> None:
    said = run("generate", bundle, "-p", "Hello", "--max-tokens", "8").stdout
    assert run("generate", bundle, "Hello", "--max-tokens", "8").stdout == said
    assert run("generate", bundle, "--max-tokens", "8", stdin=b"Hello\n").stdout == said
    assert run("generate", bundle, "-", "--max-tokens", "8", stdin=b"Hello\n").stdout == said
    assert "given twice" in failed(run("generate", bundle, "Hello", "-p", "Hello"), 2)


SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 999}, "sure": {"enum": ["yes", "no"]}},
    "required": ["sum", "sure"],
    "additionalProperties": False,
}


def test_a_schema_is_obeyed_and_its_answer_is_all_that_is_printed(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    hot = ("--temperature", "2", "--top-k", "0", "--max-tokens", "600")
    for seed in ("1", "2"):
        for options in ((), ("--no-thinking",), ("--raw",), ("--prompt-lookup",)):
            done = run("generate", bundle, "What is 47 + 38?", "--schema", file, *hot, "--seed", seed, *options)
            assert done.returncode == 0, done.stderr.decode()
            jsonschema_rs.validate(SCHEMA, json.loads(done.stdout))
            assert done.stdout.startswith(b"{") and done.stdout.endswith(b"}\n")
    whole = json.loads(run("generate", bundle, "What is 47 + 38?", "--schema", file, "--json").stdout)
    assert json.loads(whole["answer"]).keys() == {"sum", "sure"} and "<think>" in whole["text"]


@pytest.mark.parametrize(
    ("text", "options", "code", "words"),
    [
        ("{", (), 2, ["is no JSON", '{"type": "object"']),
        ("[" * 100_000, (), 2, ["is no JSON"]),
        ("[]", (), 2, ["has list, not a schema"]),
        (b"caf\xe9", (), 2, ["not UTF-8"]),
        (None, (), 2, ["can't read", "schema.json"]),
        ('{"type": "object", "propertyNames": {"pattern": "a"}}', (), 2, ["propertyNames", "can't be enforced"]),
        (json.dumps(SCHEMA), ("--max-tokens", "2", "--no-thinking"), 1, ["cut after 2 tokens", "--max-tokens"]),
    ],
)
def test_what_is_wrong_with_a_schema_is_said(
    bundle: Path, tmp_path: Path, text: str | bytes | None, options: tuple[str, ...], code: int, words: list[str]
) -> None:
    file = tmp_path / "schema.json"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    said = failed(run("generate", bundle, "x", "--schema", file, *options), code)
    assert all(word in said for word in words), said


def test_a_schema_needs_an_extra_and_nothing_else_does(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("{}")
    without = ("-c", "import sys; sys.modules.update(llguidance=None)\nfrom youtu_onnx.cli import main; sys.exit(main())")
    assert run("generate", bundle, "Hello", "--max-tokens", "2", program=without).returncode == 0
    text = failed(run("generate", bundle, "Hello", "--schema", tmp_path / "schema.json", program=without), 1)
    assert "llguidance" in text and 'pip install "youtu-onnx[serve]"' in text


def test_system_raw_and_sampling_reach_the_model(bundle: Path) -> None:
    def tokens(*options: str) -> tuple[int, list[int]]:
        reply = json.loads(run("generate", bundle, "-p", "Hello", "--json", "--max-tokens", "6", *options).stdout)
        return reply["usage"]["prompt_tokens"], reply["token_ids"]

    plain = tokens()
    assert tokens("--greedy") == plain
    assert tokens("--system", "Be kind.")[0] > plain[0] > tokens("--raw")[0]
    hot = ("--temperature", "3", "--top-k", "0", "--seed", "5")
    assert tokens(*hot) == tokens(*hot) != plain
    assert tokens("--threads", "1") == plain


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--prompt", ""], 2, ["empty"]),
        (["--prompt", "-"], 2, ["empty"]),
        (["--prompt", "x", "--max-tokens", "0"], 2, ["max_tokens"]),
        (["--prompt", "x", "--temperature", "-1"], 2, ["temperature"]),
        (["--prompt", "x", "--top-p", "1.5"], 2, ["top_p"]),
        (["--prompt", "x", "--top-k", "many"], 2, ["--top-k", "integer"]),
        (["--prompt", "x", "--greedy", "--seed", "1"], 2, ["seed"]),
        (["--prompt", "x", "--raw", "--system", "y"], 2, ["--system"]),
        (["--prompt", "x", "--raw", "--thinking"], 2, ["thinking"]),
        (["--prompt", "x", "--provider", "tpu"], 2, ["tpu", "cuda"]),
        (["--prompt", "x", "--provider", "dml"], 4, ["dml", "pip install", "directml"]),
        (["--prompt", "x", "--runtime", "magic"], 2, ["magic", "genai"]),
        (["--prompt", "x", "--threads", "0"], 2, ["threads"]),
        (["--prompt", "x " * 3000], 2, ["context of 1024", "shorten"]),
        (["--prompt", "x", "--no-such-option"], 2, ["no-such-option"]),
        ([], 2, ["prompt"]),
    ],
)
def test_mistakes_are_explained(bundle: Path, options: list[str], code: int, words: list[str]) -> None:
    text = failed(run("generate", bundle, *options), code)
    assert all(word in text for word in words), text


def test_no_bundle_and_a_damaged_one(bundle: Path, tmp_path: Path) -> None:
    assert "nothing is there" in failed(run("generate", tmp_path / "none", "-p", "x"), 1)
    assert "youtu_onnx.json" in failed(run("generate", tmp_path, "-p", "x"), 1)
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" in failed(run("generate", copy, "-p", "x"), 1)


def test_a_bundle_in_a_folder_with_an_unusual_name(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "模型 ü"
    shutil.copytree(bundle, folder)
    for runtime in ("ort", "genai"):
        done = run("generate", folder, "-p", "Hello", "--max-tokens", "2", "--runtime", runtime)
        assert done.returncode == 0, done.stderr.decode()


def test_an_unexpected_error_is_one_line_unless_asked(bundle: Path) -> None:
    broken = """
import sys, youtu_onnx.chat.opening
def open_model(*args, **kwargs): raise RuntimeError("boom\\nsecond line")
youtu_onnx.chat.opening.open_model = open_model
from youtu_onnx.cli import main
sys.exit(main())
"""
    text = failed(run("generate", bundle, "-p", "x", program=("-c", broken)), 1)
    assert "boom" in text and "--traceback" in text and "second line" not in text
    for arguments, environment in ((["--traceback"], {}), ([], {"YOUTU_ONNX_TRACEBACK": "1"})):
        done = run("generate", bundle, "-p", "x", *arguments, program=("-c", broken), **environment)
        assert done.returncode == 1 and b"Traceback" in done.stderr


def test_help_and_version_are_quick_and_import_nothing_heavy() -> None:
    light = """
import sys
from youtu_onnx.cli import main
code = main()
heavy = {"torch", "onnxruntime", "transformers", "tokenizers", "numpy"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""
    done = run("--help", program=("-c", light))
    assert done.returncode == 0 and b"generate" in done.stdout and b"chat" in done.stdout, done.stderr.decode()
    assert re.fullmatch(rb"\d+\.\d+\.\d+\s*", run("--version", program=("-c", light)).stdout)


def test_ctrl_c_ends_it_without_a_word(bundle: Path) -> None:
    options = ("--max-tokens", "900", "--temperature", "50", "--top-k", "0", "--seed", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "youtu_onnx.cli", "generate", bundle, "-p", "Hello", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.stderr.read() == b""
    assert process.wait(60) == 130


def test_a_reader_that_leaves_is_no_error(bundle: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "youtu_onnx.cli", "generate", bundle, "-p", "Hello"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 128 + signal.SIGPIPE
