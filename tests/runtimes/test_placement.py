"""Where nodes run: counted, told apart by reason, and refused where they don't belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli_process import run
from youtu_onnx.conformance import TABLES
from youtu_onnx.conformance.host import ANY
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.ort.model import OrtModel
from youtu_onnx.runtimes.ort.placement import HEAVY_OPS, Placement, Stray
from youtu_onnx.runtimes.providers.providers import provider

CPU = "CPUExecutionProvider"


def session(nodes: dict[str, list[tuple[str, str]]]) -> SimpleNamespace:
    """What says where its nodes (operator, name) run, as an ONNX Runtime session does."""

    def part(name: str, listed: list[tuple[str, str]]) -> SimpleNamespace:
        return SimpleNamespace(ep_name=name, get_nodes=lambda: [SimpleNamespace(op_type=op, name=at) for op, at in listed])

    return SimpleNamespace(get_provider_graph_assignment_info=lambda: [part(*one) for one in nodes.items()])


def placed(*strays: tuple[str, str], on: str = "cuda") -> Placement:
    row = provider(on)
    return Placement.of(session({row.ort: [("MatMulNBits", "model.layers.0.q")] * 9, CPU: list(strays)}), row)


def test_nodes_are_counted_by_provider() -> None:
    found = placed(("Shape", "model.embed.a"), ("Shape", "model.embed.b"), ("Concat", "model.embed.c"))
    assert found.nodes == {"cuda": 9, "cpu": 3}
    assert found.summary() == "cuda 9 nodes, cpu 3 nodes (Shape 2, Concat 1)"
    assert not found.heavy and not found.unexpected
    found.check(require=True)


@pytest.mark.parametrize("op", sorted(HEAVY_OPS))
def test_a_heavy_node_elsewhere_is_refused_always(op: str) -> None:
    with pytest.raises(ProviderError, match=rf"leaves 1 heavy operations to cpu, among them {op} 'logits/x'") as caught:
        placed((op, "logits/x")).check(require=False)
    assert caught.value.exit_code == 4
    assert "--target cuda" in str(caught.value)


@pytest.mark.parametrize("stray", [("Softmax", "model.embed.x"), ("Shape", "model.layers.3.self_attn.x")])
def test_required_the_provider_may_leave_nothing_but_what_is_listed_and_outside_of_layers(stray: tuple[str, str]) -> None:
    found = placed(("Shape", "model.embed.a"), stray)
    found.check(require=False)
    assert found.unexpected == (Stray(*stray, "cpu", None),)
    with pytest.raises(ProviderError, match=f"leaves 1 operations that belong on it to cpu, among them {stray[0]}"):
        found.check(require=True)


def test_what_may_stay_on_the_cpu_has_reasons_and_is_not_heavy() -> None:
    for allowed in (ANY, *(table.may_leave for table in TABLES.values())):
        assert all(allowed.values()) and not HEAVY_OPS & allowed.keys()


@pytest.mark.parametrize(
    ("on", "excused"),
    [("cuda", {"Shape"}), ("webgpu", {"Shape", "Cast"}), ("dml", set()), ("coreml", {"Shape", "Cast", "Range"})],
)
def test_each_provider_has_its_own_excuses_which_are_its_table_s(on: str, excused: set[str]) -> None:
    found = placed(*((op, "model.embed") for op in ("Shape", "Cast", "Range", "Gather")), on=on)
    assert {stray.op for stray in found.strays if stray.reason} == excused


def test_a_runtime_that_does_not_tell_can_not_be_required() -> None:
    found = Placement.of(SimpleNamespace(), provider("cuda"))
    assert "does not tell" in found.summary()
    found.check(require=False)
    with pytest.raises(ProviderError, match="can't be required"):
        found.check(require=True)


def test_json() -> None:
    made = placed(("Shape", "model.embed.a"), ("Softmax", "model.x")).to_dict()
    assert json.loads(json.dumps(made)) == made
    assert [(one["op"], one["provider"], one["heavy"], one["reason"] is None) for one in made["strays"]] == [
        ("Shape", "cpu", False, False),
        ("Softmax", "cpu", False, True),
    ]


def test_all_nodes_of_a_cpu_bundle_run_there(nano_bundle: Callable[..., Path]) -> None:
    model = OrtModel(Bundle.open(nano_bundle("int4")), require_provider=True)
    assert list(model.placement.nodes) == ["cpu"] and model.placement.nodes["cpu"] > 50
    assert not model.placement.strays


def test_commands_say_it(nano_bundle: Callable[..., Path]) -> None:
    path = nano_bundle("int4")
    report = json.loads(run("doctor", path, "--json", "--require-provider").stdout)
    assert report["placement"]["provider"] == "cpu" and report["placement"]["nodes"]["cpu"] > 50 and report["failure"] is None
    count = report["placement"]["nodes"]["cpu"]
    assert f"nodes      cpu {count} nodes" in run("doctor", path).stdout.decode()
    said = run("generate", path, "-p", "x", "--max-tokens", "1", "--verbose")
    assert said.returncode == 0 and said.stderr.decode() == f"nodes: cpu {count} nodes\n"
    bench = json.loads(run("bench", path, "-p", "8", "-n", "0", "-r", "1", "--json").stdout)
    assert bench["placement"]["nodes"] == {"cpu": count} and bench["provider_options"] == {}


def test_verify_takes_the_cpu_for_a_missing_provider_unless_the_own_one_is_required(nano_bundle: Callable[..., Path]) -> None:
    import onnxruntime as ort

    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("CUDA is installed here")
    path = nano_bundle("fp32", target="cuda")
    assert "onnxruntime opens it on cpu: cpu " in run("verify", path).stdout.decode()
    done = run("verify", path, "--require-provider")
    assert done.returncode == 4 and "cuda, which this bundle" not in done.stdout.decode()
    assert "provider cuda is not in the installed onnxruntime" in done.stderr.decode()


def test_doctor_tells_why_a_bundle_does_not_open(nano_bundle: Callable[..., Path]) -> None:
    done = run("doctor", nano_bundle("int4"), "--provider", "migraphx", "--json")
    assert done.returncode == 4 and "migraphx" in done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["placement"] is None and "migraphx" in report["failure"] and "--provider cpu" in report["advice"]
    assert run("doctor", "--provider", "cuda").returncode == 2


def test_a_tied_head_for_webgpu_is_no_operator_that_its_plugin_leaves_to_the_cpu(nano_bundle: Callable[..., Path]) -> None:
    from tests.exported import load

    graphs = {target: load(nano_bundle("fp32", target=target)).graph for target in ("webgpu", "cuda")}
    found = {target: {node.op_type for node in graph.node} for target, graph in graphs.items()}
    assert "Gemm" in found["webgpu"] and "FusedMatMul" not in found["webgpu"]
    assert "FusedMatMul" in found["cuda"]
    assert {graph.node[-1].output[0] for graph in graphs.values()} == {"logits"}
