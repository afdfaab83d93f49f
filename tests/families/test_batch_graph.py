"""The file batch.onnx: a second graph over the same weights, missed where it is absent, and verified with the bundle."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tests.exported import export_tiny, nodes  # noqa: E402
from tests.kept_traces import keeping  # noqa: E402
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint  # noqa: E402
from youtu_onnx import export  # noqa: E402
from youtu_onnx.core import batch_graph  # noqa: E402
from youtu_onnx.core.bundle import Bundle, Manifest, names  # noqa: E402
from youtu_onnx.core.bundle.bundle import describe_file  # noqa: E402
from youtu_onnx.core.errors import BundleError, UsageError, VerificationError  # noqa: E402
from youtu_onnx.core.recipe import Recipe  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.youtu.graph.slot_modules import SlotAttention  # noqa: E402
from youtu_onnx.graphs.traces import InMemory  # noqa: E402
from youtu_onnx.runtimes.batch import Chunk  # noqa: E402
from youtu_onnx.runtimes.opening import open_batch  # noqa: E402
from youtu_onnx.runtimes.ort.batch_model import BatchModel  # noqa: E402
from youtu_onnx.runtimes.ort.turns import TurnsModel  # noqa: E402
from youtu_onnx.verify.verify import verify_parity  # noqa: E402

NanoBundle = Callable[..., Path]
KINDS = {
    "fp32": (Recipe("fp32"), {}, "latent"),
    "untied": (Recipe("fp32"), VARIANTS["untied"], "latent"),
    "int4": (Recipe("int4", 32, int8=("*.o_proj",)), {}, "latent-int8"),
}


@pytest.fixture(scope="module", params=KINDS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    recipe, changes, form = KINDS[request.param]
    folder = tmp_path_factory.mktemp("batch")
    write_checkpoint(folder / "checkpoint", CONFIG | changes, random_tensors(CONFIG | changes))
    return folder, export_tiny(folder / "checkpoint", folder, recipe, form=form, batch=True)


def graph(folder: Path, name: str = names.BATCH) -> onnx.GraphProto:
    return onnx.load(folder / name, load_external_data=False).graph


def regions(folder: Path, name: str) -> dict[str, tuple[int, int]]:
    """Offset and length of every initializer in the data file."""
    found = {}
    for tensor in graph(folder, name).initializer:
        if where := {entry.key: entry.value for entry in tensor.external_data}:
            assert where["location"] == names.MODEL_DATA
            found[tensor.name] = int(where["offset"]), int(where["length"])
    return found


def test_both_graphs_have_the_same_weights_at_the_same_places(exported: tuple[Path, Manifest]) -> None:
    folder, manifest = exported
    one, other = regions(folder, names.MODEL), regions(folder, names.BATCH)
    assert one == other
    assert sum(tensor.ByteSize() for tensor in graph(folder).initializer if tensor.name not in other) < 8192, "no weights"
    assert manifest.files[names.MODEL_DATA].size == (folder / names.MODEL_DATA).stat().st_size


def test_no_weight_is_in_the_data_twice(exported: tuple[Path, Manifest]) -> None:
    folder, _ = exported
    data = (folder / names.MODEL_DATA).read_bytes()
    places = sorted(set(regions(folder, names.MODEL).values()))
    assert all(start + length <= following for (start, length), (following, _) in itertools.pairwise(places))
    contents = [sha256(data[start : start + length]).hexdigest() for start, length in places if length >= 1024]
    assert contents and len(set(contents)) == len(contents)


def test_it_is_valid_onnx(exported: tuple[Path, Manifest]) -> None:
    onnx.checker.check_model(str(exported[0] / names.BATCH))


def test_it_takes_and_gives_what_the_layout_says(exported: tuple[Path, Manifest]) -> None:
    folder, manifest = exported
    assert manifest.slots == batch_graph.SLOTS
    layout, found = batch_graph.BatchGraph(manifest.cache, manifest.slots), graph(folder)
    lanes = [layout.tensors(lane) for lane in (*range(layout.slots), None)]
    assert {len(lane) for lane in lanes} == {CONFIG["num_hidden_layers"]}, "the half pair that nothing reads is left out"
    given = [one.name for one in found.input if one.name.startswith(("slots.", "chunk."))]
    assert given == [one.past for lane in lanes for one in lane]
    assert [one.name for one in found.output] == ["logits", *(one.present for lane in lanes for one in lane)]
    widths = {one.type.tensor_type.shape.dim[3].dim_value for one in found.input if one.name in given}
    assert widths == {CONFIG["kv_lora_rank"] + CONFIG["qk_rope_head_dim"]}


def test_it_carries_no_paths_of_the_exporting_machine(exported: tuple[Path, Manifest]) -> None:
    assert not any(node.metadata_props for node in nodes(graph(exported[0])))
    assert b"site-packages" not in (exported[0] / names.BATCH).read_bytes()


def axes(shape: onnx.TensorShapeProto) -> set[str]:
    return {dim.dim_param for dim in shape.dim if dim.dim_param}


def test_no_free_axis_of_one_sequence_has_the_name_of_anothers(exported: tuple[Path, Manifest]) -> None:
    """ONNX Runtime gives tensors with equal names of axes one memory; here lengths differ. Looked at where no layer has mixed
    the sequences yet: values that one sequence's rows go into."""
    folder, manifest = exported
    layout, found = batch_graph.BatchGraph(manifest.cache, manifest.slots), graph(folder)
    of: dict[str, set[object]] = {one.past: {lane} for lane in (*range(layout.slots), None) for one in layout.tensors(lane)}
    shapes: dict[str, set[str]] = {one.name: axes(one.type.tensor_type.shape) for one in (*found.input, *found.output)}

    def follow(part: onnx.GraphProto) -> None:
        shapes.update({one.name: axes(one.type.tensor_type.shape) for one in part.value_info})
        for node in part.node:
            lanes = set().union(*(of.get(name, set()) for name in node.input))
            for branch in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
                follow(branch)
                lanes |= set().union(*(of.get(one.name, set()) for one in branch.output))
            of.update(dict.fromkeys(node.output, lanes))

    follow(found)
    names_of: dict[object, set[str]] = {}
    seen = 0
    for value, lanes in of.items():
        if len(lanes) == 1 and value in shapes:
            [lane] = lanes
            names_of.setdefault(lane, set()).update(shapes[value])
            seen += 1
    assert set(names_of) == {*range(layout.slots), None} and all(names_of.values())
    assert seen > 2 * len(of) ** 0.5, "intermediate values, too"
    everything: Iterable[str] = [name for axes_ in names_of.values() for name in axes_]
    assert len(everything) == len(set(everything))


# Manifests


@pytest.fixture
def copied(nano_bundle: NanoBundle, tmp_path: Path) -> Path:
    return shutil.copytree(nano_bundle("fp32"), tmp_path / "José 模型")


def change(folder: Path, **fields: object) -> None:
    path = folder / names.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


@pytest.mark.parametrize("number", [0, -1, True, 8.0, "8", [8], 10**9])
def test_an_impossible_number_of_slots_is_refused(copied: Path, number: object) -> None:
    change(copied, slots=number)
    with pytest.raises(BundleError, match="slots"):
        Bundle.open(copied)


@pytest.mark.parametrize("number", [1, 7, 9])
def test_a_number_of_slots_that_the_graph_has_not_is_refused(copied: Path, number: int) -> None:
    change(copied, slots=number)
    with pytest.raises(BundleError, match=rf"not a batch graph of {number} slots"):
        open_batch(Bundle.open(copied))


def test_the_number_survives_writing_and_reading(copied: Path) -> None:
    manifest = Manifest.read(copied / names.MANIFEST)
    (copied / names.MANIFEST).write_text(manifest.to_json(), "utf-8")
    assert Manifest.read(copied / names.MANIFEST) == manifest and manifest.slots == batch_graph.SLOTS


def test_slots_without_a_batch_graph_are_refused(copied: Path) -> None:
    files = json.loads((copied / names.MANIFEST).read_text("utf-8"))["files"]
    del files[names.BATCH]
    change(copied, files=files)
    with pytest.raises(BundleError, match=r"does not list batch\.onnx"):
        Bundle.open(copied)


def test_a_missing_or_damaged_batch_graph_is_found_on_opening(copied: Path) -> None:
    path = copied / names.BATCH
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"batch\.onnx: contents changed"):
        Bundle.open(copied)
    path.unlink()
    with pytest.raises(BundleError, match=r"batch\.onnx: missing"):
        Bundle.open(copied)


def test_a_batch_graph_that_is_none_is_a_damaged_bundle(copied: Path) -> None:
    bundle = Bundle.open(copied)
    (copied / names.BATCH).write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"batch\.onnx"):
        open_batch(bundle)


def test_an_older_bundle_takes_turns(copied: Path) -> None:
    """Its manifest knows nothing of slots, and there is no second graph."""
    path = copied / names.MANIFEST
    fields = json.loads(path.read_text("utf-8"))
    del fields["slots"], fields["files"][names.BATCH]
    path.write_text(json.dumps(fields), "utf-8")
    (copied / names.BATCH).unlink()
    bundle = Bundle.open(copied)
    assert bundle.manifest.slots is None
    batch = open_batch(bundle, "cpu")
    assert isinstance(batch, TurnsModel)
    assert batch.step({}, Chunk(batch.new_cache(), [5, 6], True)).shape == (1, 1280)
    batch.close()
    with pytest.raises(UsageError, match="no batch graph"):
        BatchModel(bundle)


@pytest.mark.parametrize(
    ("recipe", "form", "target"), [(Recipe("fp32"), "expanded", "cpu"), (Recipe("int4", 32), "latent", "webgpu")]
)
def test_other_bundles_have_none(tmp_path: Path, recipe: Recipe, form: str, target: str) -> None:
    config = CONFIG | {"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "q_lora_rank": 48}
    write_checkpoint(tmp_path / "checkpoint", config)
    manifest = export_tiny(tmp_path / "checkpoint", tmp_path / "bundle", recipe, target=target, form=form, batch=True)
    assert manifest.slots is None and names.BATCH not in manifest.files
    assert not (tmp_path / "bundle" / names.BATCH).exists()


# Verification


@pytest.mark.slow
def test_an_export_whose_batch_graph_computes_something_else_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlotAttention, "forward", lambda self, query, present, *dither: query)
    with keeping(InMemory(most=8)), pytest.raises(VerificationError, match="slots"):
        export(model="youtu-nano", output=tmp_path / "bundle", precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_a_batch_graph_that_computes_something_else_is_refused(copied: Path) -> None:
    """Everything else is as it was: only the path through the slots can tell."""
    model = onnx.load(copied / names.BATCH, load_external_data=False)
    changed = 0
    for node in nodes(model.graph):
        if node.op_type == "Softmax" and ".slot." in node.output[0]:
            node.op_type = "Identity"
            del node.attribute[:]
            changed += 1
    assert changed >= batch_graph.SLOTS
    onnx.save(model, copied / names.BATCH)
    manifest = Manifest.read(copied / names.MANIFEST)
    files = dict(manifest.files) | {names.BATCH: describe_file(copied / names.BATCH)}
    (copied / names.MANIFEST).write_text(replace(manifest, files=files).to_json(), "utf-8")
    found = verify_parity(copied, Checkpoint.open("youtu-nano"))
    assert not found.passed
    assert {fault.split(":")[0] for fault in found.faults} == {"slots"}
    assert np.isfinite(found.paths["prefill"].max_abs)
