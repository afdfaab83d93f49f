"""``youtu-onnx run`` as a new user meets it, and the bundles that it keeps: one export for all tests, by two runs at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli_process import ROOT, failed, run
from youtu_onnx.core.hub import BUILT_IN

COMMIT = "0123456789abcdef" * 2 + "01234567"
NAME = "acme/Small-Talk"
NO_TORCH = (
    "import sys; sys.modules.update(torch=None, transformers=None, onnx=None)\nfrom youtu_onnx.cli import main; sys.exit(main())"
)


@dataclass
class Home:
    """A user's caches: the hub's, with a checkpoint that was fetched, and ours, with what two runs at once made of it."""

    environment: dict[str, str]
    told: list[tuple[int, str, str]]
    """Of the two: exit code, stdout, stderr."""

    def run(self, *args: str | Path, **more: object) -> subprocess.CompletedProcess[bytes]:
        return run(*args, **self.environment, **more)  # type: ignore[arg-type]

    def kept(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run("list", "--json").stdout)["bundles"]
        return found


def put_on_hub(hub: Path, name: str, files: Path) -> None:
    """As the hub's client leaves what it has downloaded."""
    place = hub / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(files, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, keep_traces: Callable[[], Path]) -> Home:
    folder = tmp_path_factory.mktemp("home")
    put_on_hub(folder / "hf", NAME, BUILT_IN["youtu-nano"])
    environment = {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "YOUTU_ONNX_TEST_TRACES": str(keep_traces()),
    }
    words = [sys.executable, "-m", "tests.keeping_cli", "run", NAME, "What is 47 + 38?", "--greedy"]
    both = [
        subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1", **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    told = []
    for process in both:
        out, err = process.communicate(timeout=300)
        told.append((process.returncode, out.decode(), err.decode()))
    return Home(environment, sorted(told, key=lambda one: "waiting" in one[2]))


def test_a_hub_id_becomes_an_answer_and_two_at_once_export_once(home: Home) -> None:
    (code, answer, said), (other_code, other_answer, other_said) = home.told
    assert (code, other_code) == (0, 0), said + other_said
    assert answer == other_answer and answer.rstrip().endswith("85")
    assert f"{NAME}: exporting to int4, once; it is kept in " in said
    assert "verified: equal to PyTorch within the limits of int4" in said and "from now on it starts at once" in said
    assert "waiting for another youtu-onnx" in other_said and "exporting" not in other_said


def test_the_second_time_nothing_is_made_nor_is_torch_or_the_hub_needed(home: Home) -> None:
    done = run(
        "run", NAME, "What is 47 + 38?", "--greedy", program=("-c", NO_TORCH), **(home.environment | {"HF_HOME": "/nowhere"})
    )
    assert (done.returncode, done.stderr.decode(), done.stdout.decode()) == (0, "", home.told[0][1])


def test_without_a_question_it_is_a_conversation(home: Home) -> None:
    done = home.run("run", NAME, "--greedy", stdin=b"What is 47 + 38?\n/reset\nWhat is 47 + 38?\n")
    assert done.stdout.decode() == 2 * home.told[0][1]


def test_list_says_what_is_kept(home: Home) -> None:
    [one] = home.kept()
    assert (one["name"], one["precision"], one["commit"]) == (NAME, "int4", COMMIT)
    folder = Path(str(one["bundle"]))
    assert folder.parent == Path(home.environment["XDG_CACHE_HOME"]) / "youtu-onnx" / "bundles"
    assert one["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    head, line = home.run("list").stdout.decode().splitlines()
    assert head.split() == ["NAME", "STORED", "AS", "SIZE", "USED", "BUNDLE"]
    assert line.split()[:2] == [NAME, "int4"] and line.endswith(folder.name)
    assert home.run("inspect", folder).returncode == 0  # it is a bundle like any other


def test_other_commands_find_it_by_its_name(home: Home) -> None:
    done = home.run("generate", NAME, "What is 47 + 38?", "--greedy")
    assert (done.returncode, done.stdout.decode()) == (0, home.told[0][1]), done.stderr.decode()
    assert "no bundle at acme/Other: nothing is there" in failed(home.run("generate", "acme/Other", "Hello"), 1)


def test_update_finds_nothing_new_and_makes_a_damaged_bundle_known(home: Home) -> None:
    done = home.run("run", NAME, "Hello", "--update", "--max-tokens", "1")
    assert f"{NAME} is as it was when it was made" in done.stderr.decode()
    folder = Path(str(home.kept()[0]["bundle"]))
    contents = (folder / "tokenizer.json").read_bytes()
    try:
        (folder / "tokenizer.json").write_bytes(b"{}")
        text = failed(home.run("run", NAME, "Hello"), 1)
    finally:
        (folder / "tokenizer.json").write_bytes(contents)
    assert "damaged" in text and f"youtu-onnx run {NAME} --update" in text


def test_a_bundle_is_opened_as_it_is(home: Home, nano_bundle: Callable[..., Path]) -> None:
    done = home.run("run", nano_bundle(), "What is 47 + 38?", "--greedy")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.decode().rstrip().endswith("85")
    assert "--precision is for making a bundle" in failed(home.run("run", nano_bundle(), "-p", "int8"), 2)
    assert len(home.kept()) == 1


def test_a_bundle_on_the_hub_is_opened_where_the_hub_s_client_put_it(home: Home, nano_bundle: Callable[..., Path]) -> None:
    put_on_hub(Path(home.environment["HF_HOME"]), "acme/Ready", nano_bundle())
    done = home.run("run", "acme/Ready", "What is 47 + 38?", "--greedy")
    assert done.returncode == 0 and done.stdout.decode().rstrip().endswith("85"), done.stderr.decode()
    assert len(home.kept()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nobody/nothing"], 1, ["nobody/nothing"]),
        (["./no-such-folder"], 1, ["no checkpoint at ./no-such-folder"]),
        (["youtu-nano", "-p", "int3"], 2, ["int3"]),
        (["youtu-nano", "x", "--temperature", "-1"], 2, ["temperature"]),
        (["youtu-nano", "--revision", "main"], 2, ["--revision main has no meaning"]),
    ],
)
def test_mistakes_are_explained(home: Home, arguments: list[str], code: int, words: list[str]) -> None:
    text = failed(home.run("run", *arguments), code)
    assert all(word in text for word in words), text
    assert len(home.kept()) == 1


def test_ps_shows_what_is_open(home: Home) -> None:
    before = json.loads(home.run("ps", "--json").stdout)["processes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "youtu_onnx.cli", "run", NAME],
        cwd=ROOT,
        env={**os.environ, **home.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        process.stdout.read(1)
        found = json.loads(home.run("ps", "--json").stdout)["processes"]
        [one] = [each for each in found if each["pid"] == process.pid]
        assert (one["command"], one["model"]) == ("run", NAME) and one["memory"] > 20e6
        assert str(process.pid) in home.run("ps").stdout.decode()
    finally:
        process.kill()
        process.communicate()
    assert process.pid not in [each["pid"] for each in before]


def test_rm_takes_a_bundle_its_record_and_its_prepared_copy_away(home: Home) -> None:
    """The last test: what all others run is gone then."""
    cache = Path(home.environment["XDG_CACHE_HOME"]) / "youtu-onnx"
    assert "no bundle of other is kept" in failed(home.run("rm", "other"), 2)
    assert "names, or --all" in failed(home.run("rm"), 2)
    assert "not in int8" in failed(home.run("rm", NAME, "-p", "int8"), 2)
    done = home.run("rm", NAME)
    assert done.returncode == 0 and done.stdout.decode().startswith(f"removed {NAME} (int4, ")
    assert home.kept() == [] and not any((cache / "bundles").iterdir())
    assert [one.name for one in (cache / "prepared").iterdir()] == [".lock"]
    assert "nothing was kept" in home.run("rm", "--all").stderr.decode()
    assert "try: youtu-onnx run youtu-nano" in home.run("list").stderr.decode()
