"""``youtu-onnx mobile``: the folder that phones read computes what the bundle does, and what it says of memory adds up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from tests.cli_process import ROOT, failed, run
from tests.consumers.aarch64_steps import logits_of
from tests.consumers.test_vectors import TOLERANCES, VECTORS
from tests.exported import nodes
from tests.vectors.make import FILE, NANO
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import BundleError, ResourceError, UsageError
from youtu_onnx.core.progress import Silent
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import target
from youtu_onnx.exporters.assemble import assemble
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.families.known import architecture_of
from youtu_onnx.families.memory import step_bytes
from youtu_onnx.mobile import footprints, ort_format, rooms, write_mobile
from youtu_onnx.mobile.fit import layouts
from youtu_onnx.mobile.frame import ChatFrame
from youtu_onnx.publish.exporting import export
from youtu_onnx.publish.options import ExportOptions
from youtu_onnx.publish.several import export_several
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.text import ChatTemplate, Tokenizer

PROMPTS = [{"ids": one["ids"], "tokens": one["tokens"][:6]} for one in json.loads(FILE.read_text())["greedy"][:2]]
DOMAINS = {"": "ai.onnx", "com.microsoft": "com.microsoft"}


@pytest.fixture(scope="module")
def folder(nano_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mobile") / "ort"
    write_mobile(Bundle.open(nano_bundle("int4")), path)
    return path


def required(config: Path) -> dict[str, set[str]]:
    """Domain → operators of a reduced build's list, of any opset, without the types."""
    found: dict[str, set[str]] = {}
    for line in config.read_text().splitlines():
        if not line.startswith("#"):
            domain, _, listed = line.split(";", 2)
            depth, names = 0, [""]
            for character in listed:
                depth += {"{": 1, "}": -1}.get(character, 0)
                if character == "," and depth == 0:
                    names.append("")
                else:
                    names[-1] += character
            found.setdefault(domain, set()).update(name.split("{")[0] for name in names)
    return found


def test_ort_format_computes_what_the_bundle_does(nano_bundle: Callable[..., Path], folder: Path):
    bundle = nano_bundle("int4")
    expected = logits_of(bundle / "model.onnx", bundle / "youtu_onnx.json", PROMPTS)
    found = logits_of(folder / "model.ort", folder / "model.json", PROMPTS)
    assert [len(rows) for rows in found] == [7, 7]
    np.testing.assert_array_equal(found, expected)


def test_the_lists_name_exactly_the_operators_of_the_graph(nano_bundle: Callable[..., Path], folder: Path):
    graph = onnx.load(nano_bundle("int4") / "model.onnx", load_external_data=False).graph
    used: dict[str, set[str]] = {}
    for node in nodes(graph):
        used.setdefault(DOMAINS[node.domain], set()).add(node.op_type)
    assert "MatMulNBits" in used["com.microsoft"] and "If" in used["ai.onnx"]
    assert required(folder / ort_format.OPERATORS) == used
    typed = folder / ort_format.OPERATORS_AND_TYPES
    assert required(typed) == used and '"inputs": {"0": ["float"]}' in typed.read_text()
    assert "partial" not in typed.read_text(), "the list names the folder in which it was written"


def test_weights_are_inside_and_a_shared_one_is_there_twice(nano_bundle: Callable[..., Path], folder: Path, tmp_path: Path):
    """What the docs say of the format; when this fails, onnxruntime has learnt something."""
    options = ort.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 3, str(tmp_path / "model.ort")
    for name, value in (
        ("save_model_format", "ORT"),
        ("optimized_model_external_initializers_file_name", "weights"),
        ("optimized_model_external_initializers_min_size_in_bytes", "1024"),
    ):
        options.add_session_config_entry(f"session.{name}", value)
    ort.InferenceSession(nano_bundle("int4") / "model.onnx", options, providers=["CPUExecutionProvider"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.ort"]
    data = Bundle.open(nano_bundle("int4")).manifest.files["model.onnx.data"].size
    assert sorted(path.suffix for path in folder.iterdir() if path.name.startswith("model.")) == [".json", ".ort"]
    shared = next(
        t
        for t in onnx.load(nano_bundle("int4") / "model.onnx", load_external_data=False).graph.initializer
        if t.name == "lm_head.weight_q4"
    )
    embedding = (folder / "model.ort").read_bytes().count(_bytes_of(shared, nano_bundle("int4")))
    assert (folder / "model.ort").stat().st_size > data and embedding == 2


def _bytes_of(tensor: onnx.TensorProto, bundle: Path) -> bytes:
    entry = {item.key: item.value for item in tensor.external_data}
    with (bundle / entry["location"]).open("rb") as stream:
        stream.seek(int(entry["offset"]))
        return stream.read(int(entry["length"]))


def test_the_record_says_what_an_app_needs(folder: Path):
    record = json.loads((folder / "model.json").read_text())
    assert (record["graph"], record["vocab_size"], record["end_token_ids"]) == ("model.ort", 1280, [1])
    session = ort.InferenceSession(folder / "model.ort", providers=["CPUExecutionProvider"])
    pasts = {one.name: one.shape for one in session.get_inputs() if one.name.startswith("past")}
    assert {one["past"]: (one["heads"], one["width"]) for one in record["cache"]["tensors"]} == {
        name: (shape[1], shape[3]) for name, shape in pasts.items()
    }
    assert record["files"] == {path.name: describe_file(path).__dict__ for path in folder.iterdir() if path.name != "model.json"}
    assert record["onnxruntime"] == ort.__version__
    assert {"tokenizer.json", "model.ort", ort_format.OPERATORS} <= set(record["files"])


def test_the_frame_writes_the_chats_that_the_template_writes():
    template = ChatTemplate.open(NANO, Tokenizer.open(NANO))
    frame = ChatFrame.of(template)
    assert frame is not None
    turns = ["What is 47 + 38?", "85", "再加一呢？", "86", "thanks  \n"]
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(turns)]
    for system in ("", "Be brief."):
        whole = ([{"role": "system", "content": system}] if system else []) + messages
        assert frame.prompt(turns, system=system) == template.render(whole)
        assert frame.prompt(turns, system=system, thinking=False) == template.render(whole, enable_thinking=False)


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content }}{{ messages[0].content }}",  # a message twice
        "{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}",  # texts that count
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
    ],
)
def test_a_template_that_does_more_has_no_frame(source: str):
    assert ChatFrame.of(ChatTemplate({"default": source}, Tokenizer.open(NANO), where="test")) is None


def test_onnx_form_carries_the_bundle_and_refuses_what_was_damaged(nano_bundle: Callable[..., Path], tmp_path: Path):
    bundle = Bundle.open(nano_bundle("int4"))
    made = write_mobile(bundle, tmp_path / "onnx", form="onnx")
    assert (tmp_path / "onnx" / "model.onnx.data").read_bytes() == bundle.file("model.onnx.data").read_bytes()
    assert made.weights == bundle.manifest.files["model.onnx.data"].size and made.graph == "model.onnx"
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    opened = Bundle.open(copy)
    with (copy / "model.onnx.data").open("r+b") as stream:
        stream.write(b"\xff\x00\xff")
    with pytest.raises(BundleError, match="SHA-256"):
        write_mobile(opened, tmp_path / "damaged", form="onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "onnx"]


def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    nano_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bundle = Bundle.open(nano_bundle("int4"))
    with pytest.raises(UsageError, match="unknown format"):
        write_mobile(bundle, tmp_path / "out", form="tflite")
    with pytest.raises(UsageError, match="phones run graphs for the CPU"):
        for_cuda = replace(bundle.manifest, target="cuda", graph=replace(bundle.manifest.graph, provider="cuda"))
        write_mobile(replace(bundle, manifest=for_cuda), tmp_path / "out")
    monkeypatch.setattr(ort_format, "LARGEST", 1_000_000)
    with pytest.raises(UsageError, match="don't fit ORT format"):
        write_mobile(bundle, tmp_path / "out")
    monkeypatch.undo()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    with pytest.raises(UsageError, match="not a mobile folder"):
        write_mobile(bundle, tmp_path / "mine", force=True)
    write_mobile(bundle, tmp_path / "out")
    with pytest.raises(UsageError, match="already holds a mobile folder"):
        write_mobile(bundle, tmp_path / "out")
    write_mobile(bundle, tmp_path / "out", form="onnx", force=True)
    assert not (tmp_path / "out" / "model.ort").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


@pytest.mark.skipif(os.name == "nt", reason="needs a limit for files and SIGKILL")
def test_a_full_disk_leaves_nothing(nano_bundle: Callable[..., Path], tmp_path: Path):
    program = (
        "import resource, signal, sys; from youtu_onnx.core.bundle import Bundle; from youtu_onnx.mobile import write_mobile; "
        "from youtu_onnx.core.errors import ResourceError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "try: write_mobile(Bundle.open(sys.argv[1]), __import__('pathlib').Path(sys.argv[2]), form=sys.argv[3])\n"
        "except ResourceError as error: print(error); sys.exit(7)"
    )
    for form in ("ort", "onnx"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(nano_bundle("int4")), str(tmp_path / "out"), form],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 7, done.stderr
        assert list(tmp_path.iterdir()) == []
    assert ResourceError.exit_code == 1


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_at_any_moment(nano_bundle: Callable[..., Path], tmp_path: Path):
    final = tmp_path / "out"
    command = [sys.executable, "-m", "youtu_onnx.cli", "mobile", str(nano_bundle("int4")), "-o", str(final)]
    for extra in (0.0, 0.2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        deadline = time.monotonic() + 60
        while not any(tmp_path.glob(".out.partial-*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(extra)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not final.exists() or (final / "model.json").is_file()
        shutil.rmtree(final, ignore_errors=True)
    done = run("mobile", nano_bundle("int4"), "-o", final, "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    written = json.loads(done.stdout)["written"]
    assert (
        written["graph"] == "model.ort"
        and written["chat"]
        and written["bytes"] == sum(path.stat().st_size for path in final.iterdir() if path.name != "model.json")
    )


def test_the_command_says_what_fits_and_refuses(nano_bundle: Callable[..., Path], tmp_path: Path):
    text = run("mobile", nano_bundle("int4")).stdout.decode()
    assert "memory" in text and "1,024" in text and "12 GB" in text and "--cache latent-fp16 or latent-int8" in text
    assert "choose from ort, onnx" in failed(run("mobile", nano_bundle("int4"), "-o", tmp_path / "x", "--format", "tflite"), 2)
    assert "no bundle" in failed(run("mobile", tmp_path / "none", "-o", tmp_path / "x"), 1)
    assert "expected more than 0" in failed(run("mobile", nano_bundle("int4"), "--share", "2"), 2)
    assert list(tmp_path.iterdir()) == []


def test_memory_adds_up(nano_bundle: Callable[..., Path]):
    manifest = Bundle.open(nano_bundle("int4")).manifest
    floats, halves, bytes_ = layouts(manifest)
    assert (floats.dtype, halves.dtype, bytes_.dtype) == ("float32", "float16", "uint8")
    assert floats.bytes_per_token == 2 * halves.bytes_per_token == 4 * bytes_.bytes_per_token
    assert layouts(Bundle.open(nano_bundle("fp32")).manifest) == (Bundle.open(nano_bundle("fp32")).manifest.cache,)
    weights = manifest.files["model.onnx.data"].size
    [first, second, third] = footprints(manifest, lengths=(512,))
    assert first.cache == 2 * 512 * 4 * 80 * 4 == 2 * second.cache == 4 * third.cache and first.weights == weights
    assert first.total == weights + first.cache + first.step
    a = architecture_of(manifest.model)
    keys_and_values = 4 * a.num_attention_heads * 1024 * (a.qk_head_dim + a.qk_nope_head_dim + a.v_head_dim)
    expanded, absorbed = (step_bytes(manifest, tokens=1024, new=new, logits=new) for new in (64, 63))
    assert keys_and_values < expanded - absorbed < 1.1 * keys_and_values


def test_the_longest_sequence_that_fits_is_the_longest(nano_bundle: Callable[..., Path]):
    manifest = Bundle.open(nano_bundle("int4")).manifest
    gigabytes = 0.006
    for room, layout in zip(rooms(manifest, ram_gb=(gigabytes,), share=1), layouts(manifest), strict=True):
        assert room.budget == 6_000_000
        assert 32 < room.tokens < 1024 or layout.dtype == "uint8"
        for tokens, inside in ((room.tokens, True), (room.tokens + 1, room.tokens == 1024)):
            size = next(one.total for one in footprints(manifest, lengths=(tokens,)) if one.cache_dtype == layout.dtype)
            assert (size <= room.budget) == inside
    assert {room.tokens for room in rooms(manifest, ram_gb=(0.001,))} == {0}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both of the CPU's targets, with what suits them alike."""
    folder = tmp_path_factory.mktemp("targets") / "nano"
    export_several("youtu-nano", folder, ["cpu", "mobile"], ExportOptions(block_size=128, cache="latent", verify=False))
    return folder


class TestTarget:
    """``--target mobile``."""

    def test_by_default_it_has_a_cache_of_bytes_and_even_blocks(self, tmp_path: Path):
        bundle = export("youtu-nano", tmp_path / "nano", target="mobile", verify=False).bundle
        manifest = bundle.manifest
        assert (manifest.target, manifest.cache.dtype, manifest.recipe.block_size) == ("mobile", "uint8", 64)
        graph = onnx.load(bundle.file("model.onnx"), load_external_data=False).graph
        scales = {tensor.name: tensor.dims for tensor in graph.initializer}
        [embedding] = [node for node in graph.node if node.op_type == "GatherBlockQuantized"]
        assert scales[embedding.input[2]][1] == 4
        decoder = OrtDecoder.open(bundle, require_provider=True)
        assert decoder.model.provider.name == "cpu"
        for one, expected in zip(VECTORS["greedy"], VECTORS["logits"], strict=True):
            decoder.reset()
            assert np.abs(decoder.prefill(one["ids"]) - np.array(expected)).max() <= TOLERANCES["int4"]

    def test_it_shares_its_files_with_the_cpu_s_bundle(self, several: Path):
        for name in ("model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json"):
            assert (several / "mobile" / name).samefile(several / "cpu" / name), name
        assert Bundle.open(several).manifest.target == "cpu"
        assert Bundle.open(several, target="mobile").manifest.target == "mobile"

    def test_the_command_takes_its_bundle_of_several(self, several: Path, tmp_path: Path):
        done = run("mobile", several, "-o", tmp_path / "out", "--format", "onnx")
        assert done.returncode == 0, done.stderr.decode()
        shutil.copytree(several, tmp_path / "several")
        (tmp_path / "several" / "cpu" / "model.onnx.data").unlink()  # nobody reads it
        assert run("mobile", tmp_path / "several", "-o", tmp_path / "again", "--format", "onnx").returncode == 0

    def test_of_several_the_cpu_provider_takes_it_where_there_is_none_for_the_cpu(self, several: Path, tmp_path: Path):
        shutil.copytree(several / "mobile", tmp_path / "mobile")
        (tmp_path / names.VARIANTS).write_text('{"format_version": 1, "variants": ["mobile"]}', encoding="utf-8")
        assert Bundle.open(tmp_path, target="cpu").manifest.target == "mobile"
        with pytest.raises(UsageError, match="no bundle for cuda"):
            Bundle.open(tmp_path, target="cuda")

    def test_blocks_that_older_runtimes_misread_are_refused(self):
        checkpoint, mobile = Checkpoint.open("youtu-nano"), target("mobile")
        with pytest.raises(UsageError, match="1 block of 256, an odd number"):
            assemble(checkpoint, Recipe("int4", 256), mobile, "latent", Silent())
        for recipe in (Recipe("int4", 256, symmetric=True), Recipe("int8", 256), Recipe("int4", 128)):
            assemble(checkpoint, recipe, mobile, "latent", Silent())

    @pytest.mark.parametrize(("columns", "size"), [(2048, 256), (256, 128), (768, 128), (192, 32), (16, 256)])
    def test_the_default_is_the_largest_block_that_is_not(self, columns: int, size: int):
        assert Recipe("int4", 256).with_even_blocks(columns).block_size == size
