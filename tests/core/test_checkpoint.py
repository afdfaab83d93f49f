"""A checkpoint opens when every tensor is right, and otherwise says everything that is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from tests.tiny_checkpoint import CONFIG, OLD_GENERATION, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.errors import CheckpointError, ResourceError, UsageError
from youtu_onnx.core.hub import FETCHED, NOT_FETCHED
from youtu_onnx.families.checkpoint import Checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "José" / "模型 1"


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder)
    assert caught.value.hint, "an error names the way out"
    return str(caught.value)


@pytest.mark.parametrize("config", [CONFIG, OLD_GENERATION], ids=["youtu", "youtu_llm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shards", [1, 3])
def test_reads_every_tensor_as_it_was_stored(folder: Path, config: dict, dtype: torch.dtype, shards: int) -> None:
    tensors = random_tensors(config, dtype)
    checkpoint = Checkpoint.open(write_checkpoint(folder, config, tensors, shards=shards))
    assert checkpoint.name == "模型 1"
    assert checkpoint.revision is None
    assert len(checkpoint.weight_files) == shards
    assert checkpoint.nbytes == sum(t.nbytes for t in tensors.values())
    assert set(checkpoint.tensors) == set(tensors)
    for name, expected in tensors.items():
        assert checkpoint.tensors[name].shape == tuple(expected.shape)
        assert f"torch.{checkpoint.tensors[name].dtype}" == str(dtype)
        read = checkpoint.tensor(name)
        assert read.dtype == dtype
        assert torch.equal(read, expected)
    assert torch.equal(checkpoint.rows("model.embed_tokens.weight", 5, 9), tensors["model.embed_tokens.weight"][5:9])


@pytest.mark.parametrize("variant", VARIANTS)
def test_reads_every_variant(folder: Path, variant: str) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(folder, CONFIG | VARIANTS[variant]))
    assert sum(checkpoint.tensor(name).numel() for name in checkpoint.tensors) == checkpoint.architecture.parameters


def test_ignores_what_old_checkpoints_carry(folder: Path) -> None:
    tensors = random_tensors(CONFIG)
    extra = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4, dtype=torch.float64),
        "lm_head.weight": tensors["model.embed_tokens.weight"].clone(),
    }
    checkpoint = Checkpoint.open(write_checkpoint(folder, CONFIG, tensors | extra))
    assert set(checkpoint.tensors) == set(tensors)


def test_refuses_a_tied_lm_head_that_differs(folder: Path) -> None:
    tensors = random_tensors(CONFIG)
    extra = {"lm_head.weight": tensors["model.embed_tokens.weight"] + 1}
    write_checkpoint(folder, CONFIG, tensors | extra)
    assert "lm_head.weight differs from model.embed_tokens.weight" in refusal(folder)


def test_names_every_fault_at_once(folder: Path) -> None:
    tensors = random_tensors(CONFIG)
    del tensors["model.norm.weight"]
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 5)
    tensors["model.layers.9.mlp.up_proj.weight"] = torch.zeros(80, 48)
    tensors["model.layers.0.self_attn.o_proj.weight"] = torch.zeros(48, 36, dtype=torch.complex64)
    write_checkpoint(folder, CONFIG, tensors)
    message = refusal(folder)
    assert "model.norm.weight is missing" in message
    assert "model.layers.1.mlp.up_proj.weight has shape [3, 5]; expected [80, 48]" in message
    assert "model.layers.9.mlp.up_proj.weight is not part of this architecture" in message
    assert "model.layers.0.self_attn.o_proj.weight is C64; read are F32, F16, BF16, F64" in message


def test_a_long_list_of_faults_is_cut(folder: Path) -> None:
    write_checkpoint(folder, CONFIG, {f"junk.{i}": torch.zeros(1) for i in range(40)})
    message = refusal(folder)
    assert "… and " in message
    assert message.count("\n") < 25


def test_an_absurd_layer_count_is_refused_at_once(folder: Path) -> None:
    write_checkpoint(folder, CONFIG, random_tensors(CONFIG))
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 2**31 - 1}))
    assert "num_hidden_layers 2147483647" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "has no config.json"),
        ("", "can't be read as JSON"),
        ('{"model_type": ', "can't be read as JSON"),
        ("[" * 100_000, "can't be read as JSON"),
        ("[1, 2]", "holds a JSON list"),
        (b"\xff\xfe\x00", "can't be read as JSON"),
        ('{"model_type": "llama"}', "model_type is 'llama'"),
        ('{"model_type": "youtu"}', "vocab_size is missing"),
    ],
)
def test_refuses_a_bad_config(folder: Path, text: str | bytes | None, expected: str) -> None:
    write_checkpoint(folder)
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert expected in refusal(folder)


def test_refuses_a_truncated_file_with_both_sizes(folder: Path) -> None:
    file = write_checkpoint(folder) / "model.safetensors"
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size - 100)
    message = refusal(folder)
    assert str(file) in message
    assert f"{size - 100} bytes, expected {size}" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "0 bytes, too few"),
        (b"\x00" * 64, "damaged"),
        (os.urandom(16) * 64, "damaged"),
        (b"\x40" + b"\x00" * 7 + b"{" * 64, "damaged"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        ((2**62).to_bytes(8, "little") + b"{}", "header should be"),
        ((2).to_bytes(8, "little") + b"[]", "damaged"),
    ],
)
def test_refuses_a_file_that_is_no_safetensors(folder: Path, content: bytes, expected: str) -> None:
    file = write_checkpoint(folder) / "model.safetensors"
    file.write_bytes(content)
    message = refusal(folder)
    assert str(file) in message
    assert expected in message


def test_refuses_pickles_and_says_how_to_convert(folder: Path) -> None:
    write_checkpoint(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "can run any code" in message
    assert "save_pretrained" in message


def test_refuses_a_folder_without_weights(folder: Path) -> None:
    write_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    assert "has no weights" in refusal(folder)


def test_names_every_missing_shard(folder: Path) -> None:
    write_checkpoint(folder, shards=4)
    (folder / "model-00002-of-00004.safetensors").unlink()
    (folder / "model-00004-of-00004.safetensors").unlink()
    message = refusal(folder)
    assert "lacks 2 of 4 weight files: model-00002-of-00004.safetensors, model-00004-of-00004.safetensors" in message


def test_refuses_shards_without_their_index(folder: Path) -> None:
    write_checkpoint(folder, shards=2)
    (folder / "model.safetensors.index.json").unlink()
    assert "neither model.safetensors nor model.safetensors.index.json" in refusal(folder)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/x.safetensors", "C:\\x.safetensors", "model.bin"])
def test_refuses_an_index_that_leaves_the_folder(folder: Path, name: str) -> None:
    write_checkpoint(folder, shards=2)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    assert repr(name) in refusal(folder)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": []}'])
def test_refuses_an_empty_index(folder: Path, content: str) -> None:
    write_checkpoint(folder, shards=2)
    (folder / "model.safetensors.index.json").write_text(content)
    assert "no weight_map" in refusal(folder)


def test_refuses_a_tensor_that_is_in_two_shards(folder: Path) -> None:
    tensors = random_tensors(CONFIG)
    write_checkpoint(folder, CONFIG, tensors, shards=2)
    listed = list(tensors)
    save_file({name: tensors[name] for name in [*listed[1::2], listed[0]]}, str(folder / "model-00002-of-00002.safetensors"))
    assert f"{listed[0]} is in model-00001-of-00002.safetensors and in model-00002-of-00002.safetensors" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_refuses_values_that_are_not_finite(folder: Path, dtype: torch.dtype, value: float) -> None:
    tensors = random_tensors(CONFIG, dtype)
    tensors["model.layers.2.mlp.down_proj.weight"][3, 5:7] = value
    checkpoint = Checkpoint.open(write_checkpoint(folder, CONFIG, tensors))
    with pytest.raises(CheckpointError, match=r"model\.layers\.2\.mlp\.down_proj\.weight in .* holds 2 NaN or infinite values"):
        checkpoint.tensor("model.layers.2.mlp.down_proj.weight")


def test_notices_a_file_that_shrinks_after_opening(folder: Path) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(folder))
    last = max(checkpoint.tensors, key=lambda name: checkpoint.tensors[name].offset)
    os.truncate(checkpoint.weight_files[0], checkpoint.weight_files[0].stat().st_size - 4)
    with pytest.raises(CheckpointError, match="cut short"):
        checkpoint.tensor(last)


def test_streaming_costs_one_tensor_of_memory(tmp_path: Path) -> None:
    """In a process of its own: resident memory of this one has a history."""
    config = CONFIG | {"vocab_size": 60_000, "hidden_size": 256, "num_hidden_layers": 24, "intermediate_size": 4096}
    write_checkpoint(tmp_path, config)
    script = """if True:
        import sys, psutil, torch
        from youtu_onnx.families.checkpoint import Checkpoint
        checkpoint = Checkpoint.open(sys.argv[1])
        process, peak = psutil.Process(), 0
        before = process.memory_info().rss
        for name in checkpoint.tensors:
            tensor = checkpoint.tensor(name)
            peak = max(peak, process.memory_info().rss - before)
            del tensor
        print(peak, process.memory_info().rss - before, checkpoint.nbytes, max(t.nbytes for t in checkpoint.tensors.values()))
    """
    output = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    (tmp_path / "model.safetensors").unlink()  # pytest keeps the folder, and this file is large
    peak, left, total, largest = map(int, output.split())
    assert total > 350e6
    assert peak < largest + 40e6
    assert left < 40e6


# Names: folder, built-in, hub


def test_says_what_a_model_may_be(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing is there"):
        Checkpoint.open(str(tmp_path / "nowhere"))
    file = write_checkpoint(tmp_path / "m") / "model.safetensors"
    with pytest.raises(CheckpointError, match="is a file"):
        Checkpoint.open(str(file))


def test_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--revision main has no meaning"):
        Checkpoint.open(write_checkpoint(tmp_path / "m"), revision="main")


def fake_hub(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> list[dict]:
    calls = []

    def snapshot_download(repo_id: str, **options: object) -> str:
        calls.append({"repo_id": repo_id} | options)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_a_hub_id_is_fetched_without_pickles_or_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    write_checkpoint(tmp_path / commit)
    calls = fake_hub(monkeypatch, tmp_path / commit)
    checkpoint = Checkpoint.open("tencent/Youtu-LLM-2B", revision="main")
    assert (checkpoint.name, checkpoint.revision) == ("tencent/Youtu-LLM-2B", commit)
    (call,) = calls
    assert call["revision"] == "main"
    assert not call["local_files_only"]
    assert not any(pattern.endswith((".bin", ".py", "*", ".pt")) for pattern in call["allow_patterns"])


@pytest.mark.parametrize(
    ("file", "fetched"),
    [
        ("config.json", True),
        ("model-00001-of-00002.safetensors", True),
        ("chat_template.jinja", True),
        ("additional_chat_templates/tool_use.jinja", True),
        ("additional_chat_templates/more/x.jinja", False),
        ("additional_chat_template/x.jinja", False),
        ("additional_chat_templates2/x.jinja", False),
        ("a/x.json", False),
        ("onnx/config.json", False),
        ("original/consolidated.safetensors", False),
        ("modeling_youtu.py", False),
        ("pytorch_model.bin", False),
    ],
)
def test_which_files_are_fetched(file: str, fetched: bool) -> None:
    found = huggingface_hub.utils.filter_repo_objects([file], allow_patterns=list(FETCHED), ignore_patterns=list(NOT_FETCHED))
    assert list(found) == [file] * fetched


def hub_error(name: str) -> Exception:
    """One of huggingface_hub's HTTP errors, made without an HTTP response."""
    kind = getattr(huggingface_hub.errors, name)
    error = kind.__new__(kind)
    Exception.__init__(error, name)
    return error


@pytest.mark.parametrize(
    ("error", "offline", "expected"),
    [
        (hub_error("RepositoryNotFoundError"), False, "neither a folder nor a model on the hub"),
        (hub_error("GatedRepoError"), False, "accept"),
        (hub_error("RevisionNotFoundError"), False, "no revision 'main'"),
        (LocalEntryNotFoundError("no connection"), False, "the hub can't be reached"),
        (LocalEntryNotFoundError("not cached"), True, "--offline forbids"),
        (OSError("connection reset"), False, "downloading a/b failed"),
        (RuntimeError("transport"), False, "downloading a/b failed"),
    ],
)
def test_hub_failures_say_what_to_do(monkeypatch: pytest.MonkeyPatch, error: Exception, offline: bool, expected: str) -> None:
    calls = fake_hub(monkeypatch, error)
    with pytest.raises(CheckpointError, match=re.escape(expected)) as caught:
        Checkpoint.open("a/b", revision="main", offline=offline)
    assert caught.value.hint
    assert calls[0]["local_files_only"] is offline


def test_a_full_disk_is_called_that(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(ResourceError, match="disk is full"):
        Checkpoint.open("a/b")


def test_offline_and_not_cached_with_the_real_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="--offline forbids"):
        Checkpoint.open("nobody/nothing", offline=True)
