"""A bundle is whole or it is not there: writes cut short at every step, by every means."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.core.exports_to_kill import forks, start
from tests.effort import EFFORT
from youtu_onnx.core.bundle import Bundle, GraphFacts, Manifest, ModelFacts, Source, Staging, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import ResourceError, UsageError, YoutuOnnxError
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import cache_layout

ARCHITECTURE = Architecture(
    vocab_size=8,
    hidden_size=4,
    intermediate_size=4,
    num_hidden_layers=1,
    num_attention_heads=1,
    kv_lora_rank=2,
    qk_nope_head_dim=2,
    qk_rope_head_dim=2,
    v_head_dim=2,
    max_position_embeddings=8,
)


def write(final: Path, generation: str, *, force: bool = True) -> Path:
    """Write a small bundle whose files all say which generation they are of."""
    with Staging(final, force=force) as staging:
        for name in (names.MODEL, names.MODEL_DATA, names.CONFIG, names.TOKENIZER):
            (staging.folder / name).write_text(f"{generation} {name}")
        files = {path.name: describe_file(path) for path in staging.folder.iterdir()}
        return staging.publish(
            Manifest(
                model=ModelFacts.of("youtu", ARCHITECTURE.to_dict()),
                recipe=Recipe(),
                cache=cache_layout(ARCHITECTURE, "latent"),
                graph=GraphFacts("cpu", "float32", 23, True, ("absorbed", "expanded"), 64),
                target="cpu",
                source=Source(generation, None, {}),
                tools={},
                created="",
                files=files,
            )
        )


def generation(final: Path) -> str | None:
    """Which generation is under the final name; raises if it is damaged or mixed."""
    if not final.exists():
        return None
    bundle = Bundle.open(final, hash_limit=None)
    contents = {bundle.file(name).read_text().split()[0] for name in bundle.manifest.files}
    assert contents == {bundle.manifest.source.model}
    return bundle.manifest.source.model


def leftovers(final: Path) -> list[str]:
    return [path.name for path in final.parent.iterdir() if path != final]


@pytest.mark.parametrize("name", ["bundle", "José 模型", "with [brackets] *"])
def test_write_replace_and_leave_nothing_else(tmp_path, name):
    final = tmp_path / name
    assert write(final, "one", force=False) == final
    assert generation(final) == "one"
    with pytest.raises(UsageError, match="--force"):
        write(final, "two", force=False)
    write(final, "two")
    assert generation(final) == "two" and leftovers(final) == []


def test_an_error_while_writing_leaves_nothing(tmp_path):
    final = tmp_path / "deeper" / "bundle"
    with pytest.raises(ZeroDivisionError), Staging(final) as staging:
        (staging.folder / "model.onnx").write_text("half")
        raise ZeroDivisionError
    assert leftovers(final) == [] and not final.exists()


def test_what_is_not_a_bundle_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("photos", "file"):
        with pytest.raises(UsageError):
            write(tmp_path / name, "one", force=True)
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "precious"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "one", force=False)
    assert generation(tmp_path / "empty") == "one"


def test_a_running_export_is_left_alone(tmp_path):
    final = tmp_path / "bundle"
    with Staging(final) as running:
        (running.folder / "model.onnx").write_text("being written")
        write(final, "other")
        assert (running.folder / "model.onnx").read_text() == "being written"
    assert generation(final) == "other"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((ResourceError, UsageError)) as caught:
        write(tmp_path / "file" / "bundle", "one")
    assert isinstance(caught.value, YoutuOnnxError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("existing", [False, True])
def test_death_at_every_step(tmp_path, existing):
    """The child dies just before its n-th change to the file system, for every n."""
    outcomes = set()
    for step in range(1, 200):
        final = tmp_path / str(step) / "bundle"
        final.parent.mkdir()
        if existing:
            write(final, "old")
        child = os.fork()
        if child == 0:
            gc.disable()  # a session of an earlier test would wait for its threads, which weren't forked
            die_at(step)
            write(final, "new")
            os._exit(0)
        finished = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        outcomes.add(generation(final))
        write(final, "next")
        assert generation(final) == "next" and leftovers(final) == [], f"after death at step {step}"
        if finished:
            break
    else:
        pytest.fail("the write never finished")
    assert step > 10
    assert outcomes <= ({None, "old", "new"} if existing else {None, "new"}) and "new" in outcomes


def die_at(step: int) -> None:
    """Make the n-th call that changes the file system kill this process, as SIGKILL would."""
    left = [step]

    def deadly(function):
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    for name in ("replace", "fsync", "rmdir", "unlink", "mkdir"):
        setattr(os, name, deadly(getattr(os, name)))
    for name in ("write_text", "mkdir", "unlink"):
        setattr(Path, name, deadly(getattr(Path, name)))
    shutil.rmtree = deadly(shutil.rmtree)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_the_real_export_killed_at_random_moments(tmp_path, keep_traces):
    pytest.importorskip("torch")
    final, traces = tmp_path / "bundle", keep_traces()
    context = forks()

    def export() -> float:
        """Seconds that one takes which nobody kills."""
        started = time.perf_counter()
        process = start(context, final, traces)
        process.join(300)
        assert process.exitcode == 0
        return time.perf_counter() - started

    export()  # starts what is forked from, and traces
    duration = export()
    shutil.rmtree(final)
    chance = random.Random(0)
    for kill in range(3 * EFFORT):
        process = start(context, final, traces)
        time.sleep(duration * chance.uniform(0, 1.1))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL if kill % 3 else signal.SIGTERM)
        process.join(60)
        assert process.exitcode is not None
        if final.exists():
            Bundle.open(final, hash_limit=None)
    export()
    Bundle.open(final, hash_limit=None)
    assert leftovers(final) == []
