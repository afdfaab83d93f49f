"""Whatever stands in a checkpoint's text files, a bundle reads it as transformers does, or the export names file and entry.

Some 150 sets of files a run: :mod:`tests.effort`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.effort import EFFORT, SEED
from tests.exporters.text.folders import TOOLS, USER, VOCAB_SIZE, text_folder, written
from tests.exporters.text.mutated_files import Mutated, copied, mutated_generation_config, mutated_text_files
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.cli import main
from youtu_onnx.core.errors import CheckpointError, UsageError
from youtu_onnx.exporters.text.generation import read_generation_config
from youtu_onnx.exporters.text.text_files import text_files
from youtu_onnx.exporters.text.theirs import quiet

transformers = pytest.importorskip("transformers")

GENERATION_CONFIGS, TEXT_FILES, EXPORTS = 130 * EFFORT, 20 * EFFORT, 1
TEXTS = (
    "x <|User|>y</think>",
    "  <think> zq é[NEW]é \n",
    "Hello, World! 你好 ＡＢＣ １２３",
    "<|end_of_text|>a  b",
    "<tool_call>{}</tool_call>",
)
CHATS = (
    USER,
    [{"role": "system", "content": "Be é."}, *USER, {"role": "assistant", "content": "zq"}, {"role": "user", "content": " <b> "}],
)


def said_well(error: CheckpointError, changed: Mutated) -> bool:
    """One sentence with the way out, and a changed entry in it; or a file, where a whole one was changed."""
    one = "\n" not in error.message and error.hint is not None
    return one and any(key in error.message and (not key or file in error.message) for file, key in changed.changes)


def generation_is_right(folder: Path) -> None:
    ours = read_generation_config(folder, VOCAB_SIZE)
    fields = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    theirs = transformers.GenerationConfig(**fields)
    theirs.update(**theirs._get_default_generation_params(), defaults_only=True)
    assert ours.do_sample == theirs.do_sample and ours.repetition_penalty == theirs.repetition_penalty
    assert ours.max_new_tokens == theirs.max_new_tokens
    if ours.do_sample:
        assert (ours.temperature, ours.top_k, ours.top_p) == (theirs.temperature, theirs.top_k, theirs.top_p)
    listed = theirs.eos_token_id if isinstance(theirs.eos_token_id, list) else [theirs.eos_token_id]
    assert (ours.eos_token_ids or (None,)) == tuple(listed)
    assert Sampling.from_generation_config(fields).greedy != ours.do_sample, "a bundle with the file opens"


def texts_are_right(folder: Path, bundle: Path) -> None:
    tokenizer, template = written(text_files(folder, VOCAB_SIZE), bundle)
    with quiet():
        theirs, again = (transformers.AutoTokenizer.from_pretrained(path) for path in (folder, bundle))
        for text in TEXTS:
            for frame in (False, True):
                ids = theirs(text, add_special_tokens=frame)["input_ids"]
                assert (
                    tokenizer.encode(text, special=True, frame=frame) == ids == again(text, add_special_tokens=frame)["input_ids"]
                )
                assert not ids or max(ids) < VOCAB_SIZE
        assert (template is None) == (theirs.chat_template is None) == (again.chat_template is None)
        for messages in CHATS if template is not None else ():
            for tools in (None, TOOLS):
                wanted, repeated = (prompt(one, messages, tools) for one in (theirs, again))
                assert wanted == repeated
                try:
                    ours = tokenizer.encode(template.render(messages, tools=tools), special=True)
                except UsageError:
                    ours = None
                assert ours == wanted


def prompt(theirs: Any, messages: Any, tools: Any) -> list[int] | None:
    try:
        return theirs.apply_chat_template(messages, tools=tools, add_generation_prompt=True, return_dict=False)
    except Exception:
        return None


def outcome(check: Callable[[], None], seed: int, changed: Mutated) -> str:
    try:
        check()
    except CheckpointError as error:
        if not said_well(error, changed):
            raise AssertionError(f"seed {seed}: {error}, for {changed}") from error
        return "refused"
    except Exception as error:
        raise AssertionError(f"seed {seed}: {changed}") from error
    return "read"


def test_mutated_generation_configs(tmp_path: Path) -> None:
    print(f"YOUTU_ONNX_TEST_SEED={SEED}")
    folder, counts = text_folder(tmp_path / "checkpoint"), {"read": 0, "refused": 0}
    for seed in range(SEED, SEED + GENERATION_CONFIGS):
        changed = mutated_generation_config(seed, folder)
        with quiet():
            counts[outcome(lambda: generation_is_right(folder), seed, changed)] += 1
    print(counts)
    assert min(counts.values()) > GENERATION_CONFIGS // 10


def test_mutated_text_files(tmp_path: Path) -> None:
    print(f"YOUTU_ONNX_TEST_SEED={SEED}")
    folder, bundle, counts = tmp_path / "checkpoint", tmp_path / "bundle", {"read": 0, "refused": 0}
    for seed in range(SEED, SEED + TEXT_FILES):
        changed = mutated_text_files(seed, folder)
        counts[outcome(lambda: texts_are_right(folder, bundle), seed, changed)] += 1
        shutil.rmtree(folder)
        shutil.rmtree(bundle, ignore_errors=True)
    print(counts)
    assert min(counts.values()) > TEXT_FILES // 10


def test_exports_of_mutated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same through the command, in one piece: what is published generates."""
    print(f"YOUTU_ONNX_TEST_SEED={SEED}")
    left = {"read": EXPORTS, "refused": EXPORTS}
    for seed in range(SEED, SEED + 40):
        folder, bundle = tmp_path / f"files {seed}", tmp_path / f"bundle {seed}"
        changed = mutated_text_files(seed, folder) if seed % 2 else mutated_generation_config(seed, text_folder(folder))
        try:
            files = text_files(folder, VOCAB_SIZE)
            read_generation_config(folder, VOCAB_SIZE)
            expected = "read"
        except CheckpointError:
            expected = "refused"
        if not left[expected]:
            continue
        left[expected] -= 1
        code = main(["export", "-m", str(copied(folder, tmp_path / f"checkpoint {seed}")), "-o", str(bundle), "--no-verify"])
        said = capsys.readouterr().err
        if expected == "refused":
            assert code == 1 and said.count("error: ") == 1 and not bundle.exists(), f"seed {seed}: {said}"
            assert any(file in said and key in said for file, key in changed.changes) or not all(
                key for _, key in changed.changes
            )
            continue
        assert code == 0, f"seed {seed}: {said}"
        assert {name: (bundle / name).read_bytes() for name in files.contents} == files.contents
        raw = [] if (bundle / "chat_template.jinja").exists() else ["--raw"]
        assert main(["generate", str(bundle), "--prompt", "2 + 2", "--max-tokens", "2", *raw]) == 0, f"seed {seed}"
    assert not any(left.values())
