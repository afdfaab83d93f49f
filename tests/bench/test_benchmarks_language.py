"""The chart of KL over bits: a GGUF's numbers are the checkpoint's, ours are measured, and both are drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import YoutuForCausalLM  # noqa: E402

from benchmarks import language  # noqa: E402
from benchmarks.gguf_weights import GgufWeights  # noqa: E402
from benchmarks.importance import write_importance  # noqa: E402
from docs.pictures.language_chart import language_picture  # noqa: E402
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint  # noqa: E402
from tests.vectors.make import NANO  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "q_a_proj": "attn_q_a",
    "q_b_proj": "attn_q_b",
    "q_proj": "attn_q",
    "q_a_layernorm": "attn_q_a_norm",
    "kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "kv_a_layernorm": "attn_kv_a_norm",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def as_gguf(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """What llama.cpp's converter for deepseek2 writes of these tensors, in float32: its names, and kv_b_proj in halves, that of
    the keys transposed."""
    heads, nope = CONFIG["num_attention_heads"], CONFIG["qk_nope_head_dim"]
    found: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        layer = re.match(r"model\.layers\.(\d+)\.", stem)
        if stem.endswith("kv_b_proj"):
            k, v = tensor.view(heads, -1, tensor.shape[1]).split([nope, CONFIG["v_head_dim"]], 1)
            assert layer is not None
            found[f"blk.{layer[1]}.attn_k_b.weight"] = k.transpose(1, 2).contiguous().numpy()
            found[f"blk.{layer[1]}.attn_v_b.weight"] = v.contiguous().numpy()
            continue
        mapped = NAMES[stem if layer is None else stem.rpartition(".")[2]]
        found[f"blk.{layer[1]}.{mapped}.{kind}" if layer else f"{mapped}.{kind}"] = tensor.float().numpy()
    return found


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A stand-in for the gguf package: llama.cpp isn't built in tests."""
    tensors = random_tensors(CONFIG | VARIANTS["untied"])
    np.savez(tmp_path / "numbers.npz", **as_gguf(tensors))
    (tmp_path / "gguf.py").write_text(
        """
import numpy as np
from types import SimpleNamespace as S
class GGUFReader:
    def __init__(self, path):
        self.tensors = [S(name=n, data=a, tensor_type=0, n_bytes=a.nbytes) for n, a in np.load(path).items()]
quants = S(dequantize=lambda data, kind: data)
""",
        encoding="utf-8",
    )
    return tmp_path


def test_a_ggufs_numbers_have_the_checkpoints_names(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "gguf", raising=False)
    config = CONFIG | VARIANTS["untied"]
    tensors = random_tensors(config)
    checkpoint = Checkpoint.open(str(write_checkpoint(package / "checkpoint", config, tensors)))
    weights = GgufWeights(package / "numbers.npz", checkpoint.architecture, package)
    for name, tensor in tensors.items():
        assert torch.equal(weights.tensor(name), tensor.float()), name
        assert torch.equal(weights.rows(name, 1, 3), tensor[1:3].float()), name
    assert weights.nbytes == 4 * sum(tensor.numel() for tensor in tensors.values())
    monkeypatch.delitem(sys.modules, "gguf", raising=False)


def test_an_importance_matrix_has_the_mean_squares_of_inputs(tmp_path: Path) -> None:
    """By the GGUF's names, in the format that llama-quantize reads, taken apart here by hand."""
    import struct

    checkpoint = Checkpoint.open(str(write_checkpoint(tmp_path / "checkpoint", CONFIG, random_tensors(CONFIG))))
    write_importance(checkpoint, [list(range(5, 40))], tmp_path / "importance.dat")
    data, place = (tmp_path / "importance.dat").read_bytes(), 4
    found: dict[str, np.ndarray] = {}
    for _ in range(struct.unpack_from("<i", data)[0]):
        (length,) = struct.unpack_from("<i", data, place)
        name = data[place + 4 : place + 4 + length].decode()
        calls, numbers = struct.unpack_from("<ii", data, place + 4 + length)
        place += 12 + length
        found[name] = np.frombuffer(data, "<f4", numbers, place)
        place += 4 * numbers
        assert calls == 1
    assert place == len(data)
    model = YoutuForCausalLM.from_pretrained(checkpoint.path, dtype=torch.float32).eval()
    seen: dict[str, torch.Tensor] = {}

    def see(name: str, rows: torch.Tensor) -> None:
        seen[name] = rows

    for name, part in model.named_modules():
        if isinstance(part, torch.nn.Linear):
            part.register_forward_pre_hook(lambda part, given, name=name: see(f"{name}.weight", given[0][0]))
    with torch.inference_mode():
        model(torch.tensor([list(range(5, 40))]))
    wanted = {name: rows.square().mean(0).numpy() for name, rows in seen.items() if "kv_b" not in name and "layers" in name}
    theirs = {f"blk.{name.split('.')[2]}.{NAMES[name.split('.')[-2]]}.weight": sizes for name, sizes in wanted.items()}
    assert found.keys() == theirs.keys()
    for name, sizes in theirs.items():
        np.testing.assert_allclose(found[name], sizes, rtol=1e-3, atol=1e-6, err_msg=name)


def test_the_command_measures_ours_and_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text((NANO / "heldout.jsonl").read_text(encoding="utf-8")[:3000], encoding="utf-8")
    arguments = [str(NANO), "--text", str(text), "--tokens", "200", "--window", "100", "--scratch", str(tmp_path / "scratch")]
    language.main([*arguments, "--only", "int8"])
    said = capsys.readouterr()
    assert "| **int8** |" in said.out and said.err.splitlines()[0] == "int8"
    [one] = json.loads((tmp_path / "scratch" / "language.json").read_text())
    assert 8 < one["bits"] < 12 and 0 < one["kl_mean"] < 0.02
    language.main([*arguments, "--only", "int8", "--picture", str(tmp_path / "picture.svg")])
    assert "int8" not in capsys.readouterr().err
    ElementTree.parse(tmp_path / "picture.svg")


def test_labels_do_not_lie_on_one_another() -> None:
    points = [("youtu-onnx", "int4", 5.2, 0.2), ("llama.cpp", "Q4_0", 5.2, 0.21), ("llama.cpp", "Q8_0 <&>", 8.5, 0.004)]
    drawn = ElementTree.fromstring(language_picture(points))
    space = "{http://www.w3.org/2000/svg}"
    labels = {one.text: (float(one.get("x", 0)), float(one.get("y", 0))) for one in drawn.iter(f"{space}text")}
    (x, y), (other_x, other_y) = labels["int4"], labels["Q4_0"]
    assert abs(y - other_y) >= 13 or x + 30 < other_x or other_x + 30 < x
    assert "Q8_0 <&>" in labels
    assert len([one for one in drawn.iter(f"{space}circle") if one.get("cy") != "15"]) == 3
    with pytest.raises(ValueError, match="above 0"):
        language_picture([])
