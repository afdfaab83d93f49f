"""What is generic takes MicroReason's bundles: export with verification, decoders, chat, bench, inspect, adapters."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exported import load as load_graph
from tests.families.microreason.tiny import VOCABULARY
from tests.serve.http.test_command import running
from tests.verify.changed_bundle import rewrite_manifest, stored
from youtu_onnx import export, load
from youtu_onnx.bench.benchmark import Benchmark
from youtu_onnx.bench.plan import Plan
from youtu_onnx.bench.render import RENDERERS
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.inspect import description
from youtu_onnx.inspect.inspection import inspect_bundle
from youtu_onnx.runtimes.batch import Chunk
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.turns import TurnsModel
from youtu_onnx.verify.verify import verify_bundle

Checkpoints = Callable[[bool], Path]
IDS = np.random.default_rng(1).integers(4, VOCABULARY, 40).tolist()


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """int4 for the CPU, by the way that users go."""
    made = export(str(checkpoint(True)), tmp_path_factory.mktemp("bundle") / "int4")
    assert made.parity is not None and made.parity.passed
    return made.bundle.path


@pytest.fixture(scope="module")
def masked(checkpoint: Checkpoints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = export(str(checkpoint(True)), tmp_path_factory.mktemp("bundle") / "masked", cache="masked")
    assert made.parity is not None and made.parity.passed
    return made.bundle.path


@pytest.mark.parametrize(("precision", "target"), [("fp32", "cpu"), ("fp16", "cuda"), ("int8", "mobile"), ("int4", "dml")])
def test_an_export_is_equal_to_pytorch(checkpoint: Checkpoints, tmp_path: Path, precision: str, target: str) -> None:
    made = export(str(checkpoint(True)), tmp_path / "bundle", precision=precision, target=target)
    assert made.parity is not None and made.parity.passed
    assert {"prefill", "chunks", "tokens", "decode", "batch"} <= made.parity.graph.keys()
    assert ("slots" in made.parity.graph) is (target == "cpu")
    assert (made.parity.rows_kept is not None) is (target in ("cpu", "mobile"))


def test_a_dense_checkpoint_is_exported_as_one(checkpoint: Checkpoints, tmp_path: Path) -> None:
    made = export(str(checkpoint(False)), tmp_path / "bundle", precision="int8")
    assert made.parity is not None and made.parity.passed and made.parity.rows_kept is None
    assert made.bundle.manifest.cache.form == "masked"


def test_int4_weights_become_a_checkpoint_and_come_back(checkpoint: Checkpoints, tmp_path: Path) -> None:
    first = export(str(checkpoint(True)), tmp_path / "first", save_checkpoint=tmp_path / "saved")
    again = export(str(tmp_path / "saved"), tmp_path / "again")
    assert again.parity is not None and again.parity.passed
    tied = ("model.embed_tokens", "lm_head")  # no linear layer of compressed-tensors': a float there
    names = [one.name for one in load_graph(first.bundle.path).graph.initializer if one.external_data]
    same = [name for name in names if not name.startswith(tied)]
    assert len(same) > 20
    for name in same:
        assert np.array_equal(stored(first.bundle.path, name), stored(again.bundle.path, name)), name


def test_codes_are_calibrated(checkpoint: Checkpoints, tmp_path: Path) -> None:
    made = export(str(checkpoint(True)), tmp_path / "gptq", algorithm="gptq", calibration_tokens=512)
    assert made.parity is not None and made.parity.passed


@pytest.fixture(scope="module")
def scaled(checkpoint: Checkpoints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With factors between inputs and matrices."""
    made = export(str(checkpoint(True)), tmp_path_factory.mktemp("scaled") / "awq", algorithm="awq", calibration_tokens=512)
    assert made.parity is not None and made.parity.passed
    return made.bundle.path


def test_scales_of_channels_are_in_norms_gates_and_matrices(scaled: Path, checkpoint: Checkpoints) -> None:
    given = Checkpoint.open(checkpoint(True))
    norm = "model.layers.1.input_layernorm.weight"
    gate = "model.layers.1.self_attn.gate_proj.weight"
    factors = given.tensor(norm).float().numpy() / stored(scaled, norm)
    assert np.ptp(factors) > 0.1
    np.testing.assert_allclose(stored(scaled, gate).reshape(-1), given.tensor(gate).float().numpy()[0] * factors, rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.input_layernorm.weight",
        "model.layers.1.self_attn.gate_proj.weight",
        "model.layers.0.self_attn.o_proj.weight_scales",
        "model.layers.2.mlp.down_proj.weight_scales",
    ],
)
def test_a_change_behind_scaled_channels_is_named(scaled: Path, checkpoint: Checkpoints, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(scaled, tmp_path / "changed")
    numbers = stored(folder, name)
    numbers[-1 if "scales" in name else 3] *= 2 if "scales" in name else 4  # of so few rows, rounded ones say little of a factor
    numbers.flush()
    rewrite_manifest(folder)
    found = verify_bundle(folder, Checkpoint.open(checkpoint(True)))
    assert found.parity and any(fault.startswith(name.removesuffix("_scales")) for fault in found.parity.weights.faults)


def test_a_layout_whose_library_counts_rows_takes_the_masked_form_only(checkpoint: Checkpoints, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rows leave a routed cache"):
        export(str(checkpoint(True)), tmp_path / "routed", layout="transformers.js")
    made = export(str(checkpoint(True)), tmp_path / "masked", layout="transformers.js", cache="masked", verify=False)
    config = json.loads((made.bundle.path / "config.json").read_text())
    assert config["model_type"] == "qwen3" and (made.bundle.path / "onnx" / "model_q4.onnx").is_file()


def test_genai_runs_the_masked_form_and_refuses_the_routed(bundle: Path, masked: Path) -> None:
    pytest.importorskip("onnxruntime_genai")
    with load(masked) as ours, load(masked, runtime="genai") as theirs:
        replies = [model.generate("12 + 30", max_tokens=20, greedy=True).token_ids for model in (ours, theirs)]
    assert replies[0] == replies[1]
    with pytest.raises(UsageError, match="a row for each token, and this one is routed"):
        load(bundle, runtime="genai")


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.self_attn.gate_proj.weight",
        "model.layers.2.self_attn.gate_proj.threshold",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.2.self_attn.k_norm.weight",
        "model.layers.1.post_attention_layernorm.weight",
        "model.norm.weight",
        "model.inv_freq",
    ],
)
def test_a_changed_weight_is_named(bundle: Path, checkpoint: Checkpoints, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(bundle, tmp_path / "changed")
    numbers = stored(folder, name)
    numbers.reshape(-1)[-1] *= 1.25
    numbers.flush()
    rewrite_manifest(folder)
    found = verify_bundle(folder, Checkpoint.open(checkpoint(True)))
    [fault] = found.parity.weights.faults if found.parity else []
    assert fault.startswith(name.replace("threshold", "bias")) and not found.passed


@pytest.mark.parametrize("matrix", ["self_attn.qkv_proj", "mlp.gate_up_proj", "mlp.down_proj", "self_attn.o_proj"])
def test_a_changed_scale_is_named(bundle: Path, checkpoint: Checkpoints, tmp_path: Path, matrix: str) -> None:
    folder = shutil.copytree(bundle, tmp_path / "changed")
    scales = stored(folder, f"model.layers.1.{matrix}.weight_scales")
    scales[-1] *= 2
    scales.flush()
    rewrite_manifest(folder)
    found = verify_bundle(folder, Checkpoint.open(checkpoint(True)))
    part = {"self_attn.qkv_proj": "self_attn.v_proj", "mlp.gate_up_proj": "mlp.up_proj"}.get(matrix, matrix)
    assert found.parity and found.parity.weights.faults[0].startswith(f"model.layers.1.{part}.weight")


def test_decoders_of_both_forms_say_the_same(bundle: Path, masked: Path) -> None:
    routed, whole = (OrtDecoder.open(Bundle.open(path)) for path in (bundle, masked))
    for start, stop in ((0, 25), (25, 26), (26, 40)):
        assert np.abs(routed.prefill(IDS[start:stop]) - whole.prefill(IDS[start:stop])).max() < 1e-4
    assert routed.length == whole.length == 40 and whole.rows is None
    assert routed.rows is not None and len(routed.rows) == 3 and max(routed.rows) < 40


def test_tokens_can_t_be_taken_back_where_rows_are_gone(bundle: Path, masked: Path) -> None:
    routed, whole = (OrtDecoder.open(Bundle.open(path)) for path in (bundle, masked))
    assert whole.rewindable and not routed.rewindable
    first = routed.prefill(IDS)
    with pytest.raises(UsageError, match="can't drop 3 of its 40 tokens"):
        routed.rewind(3)
    routed.rewind(40)
    assert routed.length == 0 and np.array_equal(routed.prefill(IDS), first)


def test_a_reply_counts_rows_and_a_chat_goes_on_in_its_cache(bundle: Path, masked: Path) -> None:
    with load(bundle) as routed, load(masked) as whole:
        replies = [model.generate("12 + 30", max_tokens=20, greedy=True) for model in (routed, whole)]
    assert replies[0].token_ids == replies[1].token_ids
    cache = replies[0].to_dict()["cache"]
    assert cache["tokens"] >= 20 and all(0 < rows <= cache["tokens"] for rows in cache["rows"])
    assert "cache" not in replies[1].to_dict()


def test_sequences_take_turns(bundle: Path) -> None:
    batch = TurnsModel(OrtModel(Bundle.open(bundle)))
    assert not batch.prefix_shareable
    caches = [batch.new_cache() for _ in range(2)]
    for cache in caches:
        batch.step({}, Chunk(cache, IDS[:20], True))
    together = batch.step({0: (caches[0], IDS[20]), 1: (caches[1], IDS[21])})
    alone = OrtDecoder.open(Bundle.open(bundle))
    alone.prefill(IDS[:20])
    assert np.abs(together[0] - alone.prefill([IDS[20]])).max() < 1e-5
    with pytest.raises(UsageError, match="can't drop"):
        caches[0].truncate(5)


def test_a_server_answers_several_at_once_and_goes_on_where_a_reply_ended(bundle: Path) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("uvicorn")
    prompts = ["12 + 30", "x = 7", "A thought has steps", "每一步都要检查"]

    def completion(prompt: str | list[int], **more: object) -> dict[str, Any]:
        body = {"prompt": prompt, "max_tokens": 12, "temperature": 0, "logit_bias": {"1": -100}, **more}
        return httpx.post(f"{url}/v1/completions", json=body, timeout=120).raise_for_status().json()  # type: ignore[no-any-return]

    with running(bundle) as (process, url, said), ThreadPoolExecutor(4) as clients:
        assert "8 replies at once" in said[2]
        alone = [completion(prompt)["choices"] for prompt in prompts]
        for _ in range(2):
            assert [made["choices"] for made in clients.map(completion, prompts)] == alone
        completion(IDS, temperature=1, max_tokens=1)
        for following, kept in (([*IDS, 5, 6], 40), ([*IDS, 5, 6], 0)):  # it is taken over, and what came of it is another's
            usage = completion(following, temperature=1)["usage"]
            assert usage["prompt_tokens_details"]["cached_tokens"] == kept
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_benchmark_counts_rows(bundle: Path) -> None:
    benchmark = Benchmark.open(bundle, Plan(prompts=(32,), generate=(4,), batches=(1, 2), repetitions=1, warmup=False))
    benchmark.run()
    report = benchmark.report()
    for result in report.to_dict()["results"]:
        assert len(result["rows_by_layer"]) == 3 and 0 < result["rows_kept"] <= 1
    assert "rows kept" in RENDERERS["table"](report) and "at most" in RENDERERS["table"](report)
    assert "rows_kept" in RENDERERS["csv"](report).splitlines()[0]


def test_inspect_shows_rows_kept_by_layer(bundle: Path, masked: Path) -> None:
    found = inspect_bundle(bundle)
    assert found.rows_kept is not None and len(found.rows_kept) == 3
    assert json.loads(json.dumps(found.to_dict()))["cache"]["rows_kept"] == list(found.rows_kept)
    assert any("rows kept at verification, by layer:" in line for _, line in description.facts(found))
    assert inspect_bundle(masked).rows_kept is None


def test_the_model_card_says_what_it_was_measured_against(bundle: Path) -> None:
    assert "against transformers' own Qwen3 layers and a gate beside them in float32" in (bundle / names.MODEL_CARD).read_text()
