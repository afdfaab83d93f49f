"""What prompts begin with, in files: read once over restarts, the same to the last bit, and never believed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serve.engine.fake_batch import FakeBatch
from tests.serve.engine.replies import GREEDY, Reply
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.engine import prefix_file
from youtu_onnx.serve.engine.limits import Limits
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.engine.prefix_file import MAGIC
from youtu_onnx.serve.engine.request import Request
from youtu_onnx.serve.engine.saved_prefixes import SavedPrefixes
from youtu_onnx.serve.engine.scheduler import Scheduler

SHARED = tuple(random.Random(1).choices(range(20, 200), k=151))
PROMPT = SHARED + tuple(random.Random(2).choices(range(20, 200), k=100))


@pytest.fixture
def open_(nano_bundle: Callable[..., Path]) -> Callable[..., Any]:
    """``with open_(folder) as engine``: on youtu-nano, as after a restart."""

    @contextmanager
    def opened(folder: Path | None, threads: int = 1, **limits: Any) -> Iterator[Scheduler]:
        made = Limits(threads=threads, cache_memory=1 << 26, prefix_folder=folder, **limits)
        engine = open_engine(Bundle.open(nano_bundle()), provider="cpu", limits=made)
        try:
            yield engine
        finally:
            engine.close()

    return opened


def ask(engine: Scheduler, prompt: tuple[int, ...] = PROMPT, shared: int = len(SHARED), **more: Any) -> Reply:
    reply = Reply()
    engine.submit(Request(prompt, 12, GREEDY, logprobs=3, shared=shared, **more), reply)
    reply.end()
    return reply


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_it_is_read_once_and_the_reply_is_the_same_to_the_last_bit(open_: Any, tmp_path: Path) -> None:
    with open_(None) as engine:
        without = ask(engine).tokens
    with open_(tmp_path / "new" / "folder") as engine:
        first = ask(engine)
        assert first.end().reused_tokens == 0
    [file] = files(tmp_path / "new" / "folder")
    assert file.stat().st_mode & 0o077 == 0 and (tmp_path / "new" / "folder").stat().st_mode & 0o077 == 0
    with open_(tmp_path / "new" / "folder") as engine:
        other = PROMPT[:151] + tuple(reversed(PROMPT[151:]))
        assert ask(engine, other).end().reused_tokens == 150, "an even number of tokens"
        second = ask(engine)
        assert second.end().reused_tokens == 150
    assert without == first.tokens == second.tokens
    assert files(tmp_path / "new" / "folder") == [file]


def test_what_nobody_else_begins_with_is_not_kept(open_: Any, tmp_path: Path) -> None:
    with open_(tmp_path) as engine:
        ask(engine, shared=0)
        ask(engine, shared=63)
    assert files(tmp_path) == []


def test_rows_of_another_bundle_or_another_number_of_threads_are_not_taken(open_: Any, tmp_path: Path) -> None:
    with open_(tmp_path) as engine:
        ask(engine)
    with open_(tmp_path, threads=2) as engine:
        assert ask(engine).end().reused_tokens == 0
    assert len(files(tmp_path)) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "another version": lambda data: b"youtu-onnx prefix 2\n" + data[len(MAGIC) :],
    "header without end": lambda data: data[: len(MAGIC)] + b"\xff\xff\xff\xff" + data[len(MAGIC) + 4 :],
    "a bit in the rows": lambda data: data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:],
    "a bit in the tokens": lambda data: changed_token(data),
    "no JSON": lambda data: data.replace(b'{"identity"', b'["identity"'),
    "deep JSON": lambda data: with_header(data, "[" * 20_000),
    "another identity": lambda data: edited(data, identity="0" * 64),
    "another dtype": lambda data: edited(data, dtype="float64"),
    "another shape": lambda data: edited(data, widths=[1]),
    "more tokens": lambda data: edited(data, tokens=10**9),
    "a repeatable that can't be": lambda data: edited(data, repeatable=10**9),
    "a digest that is none": lambda data: edited(data, digest=None),
}


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "little")
    body = len(MAGIC) + 4 + size
    return json.loads(data[len(MAGIC) + 4 : body]), data[body:]


def with_header(data: bytes, text: str) -> bytes:
    return MAGIC + len(text).to_bytes(4, "little") + text.encode() + parts(data)[1]


def edited(data: bytes, **fields: Any) -> bytes:
    return with_header(data, json.dumps(parts(data)[0] | fields))


def changed_token(data: bytes) -> bytes:
    rest = parts(data)[1]
    return data[: len(data) - len(rest)] + bytes([rest[0] ^ 1]) + rest[1:]


@pytest.fixture(scope="module")
def written(nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A file, and the reply that goes with it."""
    folder = tmp_path_factory.mktemp("written")
    limits = Limits(threads=1, cache_memory=1 << 26, prefix_folder=folder)
    engine = open_engine(Bundle.open(nano_bundle()), provider="cpu", limits=limits)
    reply = ask(engine)
    engine.close()
    [file] = files(folder)
    return file, reply.tokens


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_not_used_and_goes(open_: Any, tmp_path: Path, written: tuple[Path, list[Any]], damage: str) -> None:
    file, tokens = written
    place = tmp_path / file.name
    place.write_bytes(DAMAGES[damage](file.read_bytes()))
    with open_(tmp_path) as engine:
        reply = ask(engine)
        assert reply.end().reused_tokens == 0 and reply.tokens == tokens
    assert place.read_bytes() == file.read_bytes(), "it was written anew"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_what_is_no_file_is_not_followed(open_: Any, tmp_path: Path, written: tuple[Path, list[Any]]) -> None:
    file, tokens = written
    os.symlink(file, tmp_path / file.name)
    with open_(tmp_path) as engine:
        reply = ask(engine)
        assert reply.end().reused_tokens == 0 and reply.tokens == tokens
    (tmp_path / file.name).unlink()
    os.mkfifo(tmp_path / file.name)
    with open_(tmp_path) as engine:
        assert ask(engine).tokens == tokens


def test_the_oldest_files_go(open_: Any, tmp_path: Path, written: tuple[Path, list[Any]]) -> None:
    size = written[0].stat().st_size
    prompts = [tuple(random.Random(seed).choices(range(20, 200), k=251)) for seed in (1, 2, 3)]
    seen: list[set[Path]] = []
    for used, prompt in enumerate((prompts[0], prompts[1], prompts[0], prompts[2])):
        for path in files(tmp_path):  # times of files are coarse
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
        with open_(tmp_path, prefix_bytes=int(2.5 * size)) as engine:
            assert ask(engine, prompt).end().reused_tokens == (150 if used == 2 else 0)
        seen.append(set(files(tmp_path)))
    first, both, same, last = seen
    assert first < both == same and len(last) == 2 and first < last and last != both


def test_what_was_left_half_written_goes_when_it_is_old(open_: Any, tmp_path: Path) -> None:
    old, new = tmp_path / f"a{prefix_file.PARTIAL}", tmp_path / f"b{prefix_file.PARTIAL}"
    for one in (old, new):
        one.write_bytes(b"x")
    os.utime(old, (0, 0))
    with open_(tmp_path):
        assert files(tmp_path) == [new]


def test_a_disk_that_is_full_ends_no_reply(open_: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with open_(tmp_path) as engine:
        assert len(ask(engine).tokens) > 0
    assert files(tmp_path) == []


def test_where_it_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be kept in files"):
        SavedPrefixes(tmp_path, FakeBatch(), {}, 1000)


def test_a_folder_that_is_none(open_: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="--prefix-cache"), open_(tmp_path / "file"):
        pass
