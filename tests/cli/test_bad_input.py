"""Every kind of bad input ends in one clear message with the way out, its own exit code, and no damaged bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_checkpoint import CONFIG, random_tensors, write_checkpoint
from tests.tiny_tokenizer import write_tiny_tokenizer
from youtu_onnx.cli import main
from youtu_onnx.core import machine
from youtu_onnx.core.bundle import Bundle

ROOT = Path(__file__).parents[2]
NANO = ROOT / "youtu_onnx" / "models" / "youtu_nano"
BUILT_IN = "youtu-nano"


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """Run a command that must fail; returns what it said after checking how it said it."""
    monkeypatch.delenv("YOUTU_ONNX_TRACEBACK", raising=False)

    def run(code: int, *args: object) -> str:
        got = main([str(arg) for arg in args])
        said = capsys.readouterr()
        assert got == code, said.err
        assert "Traceback" not in said.err and "unexpected" not in said.err
        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "hint:" in said.err, "says the way out"
        return said.err

    return run


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    folder = write_checkpoint(tmp_path / "checkpoint", CONFIG, shards=2)
    write_tiny_tokenizer(folder)
    return folder


def export(model: object, tmp_path: Path, *more: object) -> list[object]:
    return ["export", "-m", model, "-o", tmp_path / "out", "--no-verify", *more]


def nothing_was_left(tmp_path: Path) -> bool:
    return not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_missing_shard(checkpoint, tmp_path, refused):
    (checkpoint / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors" in refused(1, *export(checkpoint, tmp_path))
    assert nothing_was_left(tmp_path)


def test_truncated_shard(checkpoint, tmp_path, refused):
    shard = checkpoint / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert shard.name in refused(1, *export(checkpoint, tmp_path))
    assert nothing_was_left(tmp_path)


def test_unknown_model_type(checkpoint, tmp_path, refused):
    (checkpoint / "config.json").write_text(json.dumps(CONFIG | {"model_type": "llama"}))
    assert "'llama'" in refused(1, *export(checkpoint, tmp_path))


def test_all_missing_and_misshapen_tensors_are_named(checkpoint, tmp_path, refused):
    tensors = random_tensors(CONFIG)
    del tensors["model.norm.weight"], tensors["model.layers.1.mlp.up_proj.weight"]
    tensors["model.layers.0.self_attn.o_proj.weight"] = torch.zeros(3, 3)
    shutil.rmtree(checkpoint)
    write_checkpoint(checkpoint, CONFIG, tensors)
    said = refused(1, *export(checkpoint, tmp_path))
    for name in ("model.norm.weight", "model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.o_proj.weight"):
        assert name in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(checkpoint, tmp_path, refused, value):
    tensors = random_tensors(CONFIG)
    tensors["model.layers.2.mlp.down_proj.weight"][1, 2] = value
    write_checkpoint(checkpoint, CONFIG, tensors, shards=2)
    assert "model.layers.2.mlp.down_proj.weight" in refused(1, *export(checkpoint, tmp_path))
    assert nothing_was_left(tmp_path)


def test_weights_beyond_float16(checkpoint, tmp_path, refused):
    tensors = random_tensors(CONFIG)
    tensors["model.layers.0.mlp.down_proj.weight"][0, 0] = 1e6
    write_checkpoint(checkpoint, CONFIG, tensors, shards=2)
    assert "65504" in refused(1, *export(checkpoint, tmp_path, "-p", "fp16"))
    assert nothing_was_left(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 0},
        {"num_hidden_layers": -1},
        {"qk_rope_head_dim": 7},
        {"kv_lora_rank": "many"},
        {"vocab_size": None},
        {"num_key_value_heads": 1},
        {"hidden_act": "relu"},
        {"rms_norm_eps": 0},
        {"eos_token_id": 10**6},
        {"rope_parameters": {"rope_type": "spiral"}},
        {"rope_parameters": {"rope_type": "linear", "factor": -1}},
    ],
    ids=str,
)
def test_impossible_numbers_in_the_config(checkpoint, tmp_path, refused, changes):
    (checkpoint / "config.json").write_text(json.dumps(CONFIG | changes))
    said = refused(1, *export(checkpoint, tmp_path))
    assert next(iter(changes)) in said or "rope_type" in said or "factor" in said


def test_several_faults_are_told_together(checkpoint, tmp_path, refused):
    (checkpoint / "config.json").write_text(json.dumps(CONFIG | {"hidden_size": 0, "v_head_dim": -3}))
    said = refused(1, *export(checkpoint, tmp_path))
    assert "hidden_size" in said and "v_head_dim" in said


def test_no_tokenizer(checkpoint, tmp_path, refused):
    (checkpoint / "tokenizer.json").unlink()
    assert "tokenizer.json" in refused(1, *export(checkpoint, tmp_path))


def test_no_such_folder_and_no_network(tmp_path, refused):
    refused(1, *export(tmp_path / "nowhere", tmp_path))
    assert "nobody/nothing" in refused(1, *export("nobody/nothing", tmp_path, "--offline"))


def test_output_folder_in_use(tmp_path, refused):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    refused(2, *export(BUILT_IN, tmp_path))
    refused(2, *export(BUILT_IN, tmp_path, "--force"))
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "options",
    [
        ("-p", "int3"),
        ("--block-size", "48"),
        ("--target", "toaster"),
        ("--cache", "none"),
        ("--int8", "no_such_matrix"),
        ("-p", "fp32", "--int8", "lm_head"),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be(tmp_path, refused, options):
    refused(2, *export(BUILT_IN, tmp_path, *options))
    assert nothing_was_left(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on file sizes")
def test_full_disk(tmp_path):
    """A real write error from the system: no file may grow beyond 1 MB."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)); "
        "from tests.kept_traces import keep_traces_of_the_run; keep_traces_of_the_run(); "
        "from youtu_onnx.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *map(str, export(BUILT_IN, tmp_path))]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 1 and "full" in run.stderr and "hint:" in run.stderr and "Traceback" not in run.stderr
    assert nothing_was_left(tmp_path)


def test_too_little_memory_or_disk_is_said_before_work_begins(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: (10**9, 10**6))
    assert "memory" in refused(1, *export(BUILT_IN, tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**6}))
    assert "disk" in refused(1, *export(BUILT_IN, tmp_path))
    assert nothing_was_left(tmp_path)


def test_a_container_s_memory_counts_and_not_its_host_s(tmp_path, refused, monkeypatch):
    group = tmp_path / "group"
    group.mkdir()
    for name, content in (("memory.max", 2 * 10**8), ("memory.current", 10**8), ("memory.stat", "inactive_file 0")):
        (group / name).write_text(str(content))
    monkeypatch.setattr(machine, "CGROUPS", group)
    assert "0.1 GB are available" in refused(1, *export(BUILT_IN, tmp_path))
    shutil.rmtree(group)
    assert nothing_was_left(tmp_path)


def test_a_failed_gate_is_exit_code_3_and_not_published(tmp_path, refused, monkeypatch, capsys):
    from youtu_onnx.families.youtu.graph import row_orders

    monkeypatch.setattr(row_orders, "key_rows", lambda a: torch.arange(a.latent_dim).flip(0))  # a bug in the exporter
    command = ["export", "-m", BUILT_IN, "-o", tmp_path / "out"]
    refused(3, *command)
    assert nothing_was_left(tmp_path)
    assert main([str(part) for part in (*command, "--force")]) == 0
    verification = Bundle.open(tmp_path / "out").manifest.verification
    assert verification is not None and verification["passed"] is False


@pytest.fixture
def bundle(nano_bundle, tmp_path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(nano_bundle("int4"), tmp_path / "José 模型" / "bundle 1"))


def ask(bundle: Path, *more: object) -> list[object]:
    return ["generate", bundle, "--prompt", "What is 2 + 3?", "--max-tokens", 5, *more]


def test_paths_with_spaces_and_other_letters_work(bundle, capsys):
    assert main([str(part) for part in ask(bundle, "--json")]) == 0
    assert json.loads(capsys.readouterr().out)["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("damage", ["truncated", "corrupted", "missing"])
def test_damaged_bundle_files_are_named(bundle, refused, name, damage):
    file = bundle / name
    contents = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    else:
        contents[len(contents) // 2] ^= 0xFF
        file.write_bytes(contents[:-1] if damage == "truncated" else contents)
    assert name in refused(1, *ask(bundle))


@pytest.mark.parametrize("contents", ["", "not json", "[]", "{}", '{"format_version": 1}', "\xff"])
def test_a_manifest_that_is_none(bundle, refused, contents):
    (bundle / "youtu_onnx.json").write_text(contents, encoding="latin-1")
    refused(1, *ask(bundle))


def test_a_manifest_of_a_newer_format(bundle, refused):
    edit(bundle, lambda fields: fields.update(format_version=99))
    assert "99" in refused(1, *ask(bundle))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\secrets", "a\\b", "x/../../y"])
def test_a_manifest_that_reaches_out_of_its_folder(bundle, refused, name):
    edit(bundle, lambda fields: fields["files"].update({name: {"size": 0, "sha256": ""}}))
    assert "outside" in refused(1, *ask(bundle))


def test_weights_outside_the_folder_are_not_read(bundle, refused):
    """A graph may name any file as its external data; a stranger's must not name ours."""
    onnx = pytest.importorskip("onnx")
    (bundle.parent / "secret").write_bytes((bundle / "model.onnx.data").read_bytes())
    model = onnx.load(bundle / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    from youtu_onnx.core.bundle.bundle import describe_file

    entry = describe_file(bundle / "model.onnx")
    edit(bundle, lambda fields: fields["files"].update({"model.onnx": {"size": entry.size, "sha256": entry.sha256}}))
    refused(1, *ask(bundle))


def test_prompts_that_cannot_be(bundle, refused):
    refused(2, "generate", bundle, "--prompt", "")
    refused(2, "generate", bundle, "--prompt", "  \n ")
    said = refused(2, "generate", bundle, "--prompt", "7" * 5000)
    assert "1024" in said, "names the context's length"


def test_no_bundle_there(tmp_path, refused):
    for command in ("generate", "inspect", "verify", "evaluate", "chat"):
        more = ["--prompt", "x"] if command == "generate" else []
        refused(1, command, tmp_path / "nothing", *more)


def test_providers_that_are_not_there(bundle, refused):
    assert "onnxruntime-directml" in (said := refused(4, *ask(bundle, "--provider", "dml"))) or "[directml]" in said
    refused(4, *ask(bundle, "--provider", "CUDAExecutionProvider"))
    refused(2, *ask(bundle, "--provider", "abacus"))


def test_verifying_against_another_checkpoint(bundle, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    other = Path(shutil.copytree(NANO, tmp_path / "other"))
    tensors = load_file(other / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    noisy = {
        name: t if t.ndim == 1 else (t.float().std() * torch.randn(t.shape, generator=generator)).to(t.dtype)
        for name, t in tensors.items()
    }
    save_file(noisy, other / "model.safetensors", metadata={"format": "pt"})
    assert main(["verify", str(bundle), "-m", str(NANO)]) == 0
    capsys.readouterr()
    assert main(["verify", str(bundle), "-m", str(other)]) == 3


def edit(bundle: Path, change) -> None:
    file = bundle / "youtu_onnx.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    change(fields)
    file.write_text(json.dumps(fields), encoding="utf-8")
