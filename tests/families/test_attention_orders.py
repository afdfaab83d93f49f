"""One graph, two orders of attention: a step of many new tokens expands keys and values, one of few absorbs the weights.

Whichever a step takes, it computes what transformers' ``YoutuForCausalLM`` computes, and leaves the same cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import onnxruntime as ort

from tests.exported import WARNINGS, Graph, Past, Stepwise, cut, export_tiny, reference
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint
from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.families.youtu.cache import EXPANDS_FROM
from youtu_onnx.runtimes.decoder import PREFILL_CHUNK
from youtu_onnx.runtimes.opening import open_decoder
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.runtimes.ort.interface import LOGITS, LOGITS_TO_KEEP
from youtu_onnx.verify.difference import centre, compare

TOLERANCE = 1e-3
"""On logits of order 1 to 10, against transformers."""
BOTH = {"expanded": 1, "absorbed": 10**6}
"""Thresholds that leave one order only."""

CONFIGS: dict[str, dict[str, Any]] = {
    "q_lora, dynamic rope, three layers": CONFIG | VARIANTS["dynamic"],
    "no q_lora, bias, yarn, untied, two layers": CONFIG
    | VARIANTS["yarn"]
    | VARIANTS["no q_lora"]
    | VARIANTS["attention bias"]
    | VARIANTS["untied"]
    | {"num_hidden_layers": 2},
}


class Tiny:
    """A checkpoint of random weights: its graph in each order, and transformers' model."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        self.config, self.folder, self.tensors = config, folder, random_tensors(config)
        write_checkpoint(folder / "checkpoint", config, self.tensors)
        self.manifest = export_tiny(folder / "checkpoint", folder, Recipe("fp32"))
        self.graph = Graph(folder, self.manifest)
        self.orders = {name: Graph(folder, self.manifest, many=many) for name, many in BOTH.items()}

    def expected(self) -> Stepwise:
        """Made anew each time: under dynamic RoPE transformers' model remembers the longest sequence it saw."""
        return Stepwise(reference(self.config, self.tensors))


@pytest.fixture(scope="module", params=CONFIGS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(CONFIGS[request.param], tmp_path_factory.mktemp("orders"))


def tokens(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(3, CONFIG["vocab_size"], (batch, length))


def close(one: np.ndarray, other: np.ndarray) -> None:
    assert 1 < np.abs(other).max() < 40, "logits of a sensible size, or the tolerance means nothing"
    assert np.abs(one - other).max() <= TOLERANCE


def in_steps(graph: Graph, ids: np.ndarray, sizes: tuple[int, ...]) -> tuple[list[np.ndarray], Past]:
    """Each step's logits, and the last presents."""
    past, made, start = graph.empty(len(ids)), [], 0
    for size in sizes:
        logits, past = graph.step(ids[:, start : start + size], past)
        made.append(logits)
        start += size
    assert start == ids.shape[1]
    return made, past


# The choice


@pytest.mark.parametrize(("new", "many"), [(1, False), (EXPANDS_FROM - 1, False), (EXPANDS_FROM, True), (EXPANDS_FROM + 1, True)])
@pytest.mark.parametrize("batch", [1, 3])
def test_new_tokens_alone_choose_the_order(tiny: Tiny, new: int, many: bool, batch: int) -> None:
    chooser = cut(tiny.folder, {"input_ids": np.int64}, ["step.many"])
    assert chooser.run(None, {"input_ids": tokens(batch, new)})[0] == many


# Against transformers


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sizes", [(63, 1), (64, 1), (65, 64), (1, 63, 64, 2), (40, 100, 5)], ids=str)
def test_steps_on_both_sides_of_the_threshold_equal_transformers(tiny: Tiny, sizes: tuple[int, ...], batch: int) -> None:
    ids, model = tokens(batch, sum(sizes)), tiny.expected()
    made, _ = in_steps(tiny.graph, ids, sizes)
    start = 0
    for size, logits in zip(sizes, made, strict=True):
        close(logits, model.step(ids[:, start : start + size]))
        start += size


def padded(lengths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A left-padded batch of prompts and its mask."""
    width = max(lengths)
    ids, mask = tokens(len(lengths), width), np.array([[0] * (width - n) + [1] * n for n in lengths])
    return ids * mask, mask


@pytest.mark.parametrize("order", [None, *BOTH])
@pytest.mark.parametrize("lengths", [(3, 9, 14), (2, 66, 80)], ids=str)
def test_a_left_padded_batch_equals_transformers(tiny: Tiny, order: str | None, lengths: tuple[int, ...]) -> None:
    """Then a step of one token and one of many; padding's own rows are numbers, if of no meaning."""
    graph, model = tiny.orders[order] if order else tiny.graph, tiny.expected()
    ids, mask = padded(lengths)
    logits, past = graph.step(ids, graph.empty(3), mask)
    real = mask.astype(bool)
    assert np.isfinite(logits).all() and all(np.isfinite(array).all() for array in past)
    close(logits[real], model.step(ids, mask)[real])
    for more in (tokens(3, 1), tokens(3, 70)):
        mask = np.concatenate([mask, np.ones_like(more)], 1)
        logits, past = graph.step(more, past, mask)
        close(logits, model.step(more, mask))


def test_a_prompt_in_a_padded_batch_equals_itself_alone(tiny: Tiny) -> None:
    """Alone it absorbs, beside a long one it is expanded."""
    if tiny.config["rope_parameters"]["rope_type"] == "dynamic":
        pytest.skip("the stretch depends on the longest of the batch, in transformers too")
    ids, mask = padded((5, 66, 80))
    together, _ = tiny.graph.step(ids, tiny.graph.empty(3), mask)
    for row, length in enumerate(mask.sum(1)):
        alone, _ = tiny.graph.step(ids[row : row + 1, -length:], tiny.graph.empty(1))
        assert np.abs(together[row, -length:] - alone[0]).max() < 1e-4


# Against each other


@pytest.mark.parametrize("sizes", [(9,), (64,), (70, 1, 30)], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_both_orders_give_the_same_logits_and_cache(tiny: Tiny, sizes: tuple[int, ...], batch: int) -> None:
    ids = tokens(batch, sum(sizes))
    (expanded, expanded_cache), (absorbed, absorbed_cache) = (in_steps(tiny.orders[name], ids, sizes) for name in BOTH)
    for one, other in zip(expanded + expanded_cache, absorbed + absorbed_cache, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-4


@pytest.mark.parametrize(
    ("precision", "cache"), [("int8", "latent"), ("int4", "latent"), ("int8", "latent-int8"), ("int4", "latent-int8")]
)
def test_both_orders_of_integer_graphs_agree_within_their_rounding(
    nano_bundle: Callable[..., Path], precision: str, cache: str
) -> None:
    """Trained weights. The orders round different activations to int8; the cache's rows differ as layers' inputs do."""
    folder = nano_bundle(precision, cache)
    manifest = Bundle.open(folder).manifest
    ids, sizes = np.random.default_rng(0).integers(4, 1270, (2, 100)), (70, 1, 29)
    (expanded, one), (absorbed, other) = (in_steps(Graph(folder, manifest, many=many), ids, sizes) for many in BOTH.values())
    for left, right in zip(expanded, absorbed, strict=True):
        right, left = (logits.reshape(-1, logits.shape[-1]) for logits in (right, left))
        found = compare(right, left, centre(right))
        assert found.mean_kl < 3e-3 and found.relative_error < 0.04
    np.testing.assert_array_equal(one[0], other[0], err_msg="the first layer's rows are made before any attention")


def test_a_step_reads_no_more_of_the_cache_than_it_is_given(tiny: Tiny) -> None:
    """What follows in the sequence can't change a row, in either order."""
    ids = tokens(1, 80)
    changed = ids.copy()
    changed[:, 75:] = 3
    for graph in (tiny.graph, *tiny.orders.values()):
        one, other = (graph.step(listed, graph.empty(1))[0] for listed in (ids, changed))
        assert np.abs(one[:, :75] - other[:, :75]).max() < 1e-5
        assert np.abs(one[:, 75:] - other[:, 75:]).max() > 0.1


# How many logits the mask asks for


@pytest.mark.parametrize("new", [7, 70])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_mask_asks_for_the_last_rows(tiny: Tiny, new: int, batch: int) -> None:
    """More than there are is all, as 0 is."""
    ids, graph = tokens(batch, 10 + new), tiny.graph
    _, past = graph.step(ids[:, :10], graph.empty(batch))
    every, cache = graph.step(ids[:, 10:], past)
    assert every.shape == (batch, new, CONFIG["vocab_size"])
    for keep, rows in ((0, new), (1, 1), (5, 5), (new, new), (new + 1, new), (10**6, new)):
        kept, present = graph.step(ids[:, 10:], past, keep=keep)
        assert kept.shape == (batch, rows, CONFIG["vocab_size"])
        np.testing.assert_allclose(kept, every[:, -rows:], rtol=0, atol=1e-5)
        for one, other in zip(present, cache, strict=True):
            np.testing.assert_array_equal(one, other)


def test_fewer_logits_are_nothing_that_onnx_runtime_warns_of(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    """As it did when the head's values had the names of axes that all positions have."""
    graph = Graph(tiny.folder, tiny.manifest, said=WARNINGS)
    for keep in (0, 1):
        graph.step(tokens(1, 17), graph.empty(1), keep=keep)
    assert capfd.readouterr().err == ""


def test_sequences_padded_on_the_right_ask_for_nothing(tiny: Tiny) -> None:
    """A column of padding alone is all; one sequence that isn't padded there is enough to ask."""
    ids, graph = tokens(2, 9), tiny.graph
    mask = np.ones((2, 9), np.int64)
    mask[0, 6:] = 0
    every, _ = graph.step(ids, graph.empty(2), mask)
    kept, _ = graph.step(ids, graph.empty(2), mask, keep=[0, 2])
    np.testing.assert_allclose(kept, every[:, -2:], rtol=0, atol=1e-5)
    mask[:, -1] = 0
    assert graph.step(ids, graph.empty(2), mask)[0].shape[1] == 9


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of logits that each step of a decoder computed."""
    rows: list[int] = []
    bind_output = ort.IOBinding.bind_output

    def remember(
        binding: ort.IOBinding,
        name: str,
        device: str,
        number: int = 0,
        dtype: object = None,
        shape: Sequence[int] | None = None,
        address: int | None = None,
    ) -> None:
        if name == LOGITS:  # the session fails where it computes another number of rows
            assert shape is not None
            rows.append(shape[1])
        bind_output(binding, name, device, number, dtype, shape, address)

    monkeypatch.setattr(ort.IOBinding, "bind_output", remember)
    return rows


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its graph has one order of attention, and logits of all positions."""
    folder = tmp_path_factory.mktemp("cuda")
    return Bundle(folder, export_tiny(write_checkpoint(folder / "checkpoint"), folder, Recipe("fp16"), target="cuda"))


def test_a_prefill_computes_one_row_of_logits_where_the_graph_can(nano_bundle: Callable[..., Path], computed: list[int]) -> None:
    ids = list(range(20, 20 + PREFILL_CHUNK + 44))
    with_it, without = (open_decoder(Bundle.open(nano_bundle("int4", cache))) for cache in ("latent", "expanded"))
    for decoder, rows in ((with_it, [1, 1]), (without, [PREFILL_CHUNK, 44])):
        last = decoder.prefill(ids)
        assert computed == rows
        decoder.reset()
        np.testing.assert_allclose(last, decoder.decode(ids)[-1], rtol=1e-4, atol=1e-4)
        assert computed[2:] == [PREFILL_CHUNK, 44], "decode wants every row"
        computed.clear()
        decoder.close()


def test_a_prefill_on_a_graph_of_before(tmp_path: Path, nano_bundle: Callable[..., Path], computed: list[int]) -> None:
    """It has an input that need not be given instead."""
    folder = tmp_path / "bundle"
    shutil.copytree(nano_bundle("int4"), folder)
    model = onnx.load(folder / names.MODEL, load_external_data=False)
    [start] = [node for node in model.graph.node if "head.start" in node.output]
    start.CopyFrom(onnx.helper.make_node("Neg", [LOGITS_TO_KEEP], ["head.start"]))
    model.graph.input.append(onnx.helper.make_tensor_value_info(LOGITS_TO_KEEP, onnx.TensorProto.INT64, [1]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.int64), LOGITS_TO_KEEP))
    onnx.save(model, folder / names.MODEL)
    manifest = Manifest.read(folder / names.MANIFEST)
    old = Bundle(folder, replace(manifest, graph=replace(manifest.graph, mask_keeps_logits=False)))
    ids = list(range(20, 20 + PREFILL_CHUNK + 44))
    last = [OrtDecoder.open(one, "cpu").prefill(ids) for one in (old, Bundle.open(nano_bundle("int4")))]
    assert computed == [1, 1, 1, 1]
    np.testing.assert_allclose(last[0], last[1], rtol=1e-4, atol=1e-4)


def test_a_prefill_on_a_graph_that_computes_all_logits(cuda: Bundle, computed: list[int]) -> None:
    decoder = OrtDecoder.open(cuda, "cpu")
    assert not cuda.manifest.graph.mask_keeps_logits
    last = decoder.prefill(range(5, 25))
    assert computed == [20]
    decoder.reset()
    np.testing.assert_array_equal(last, decoder.decode(range(5, 25))[-1])


def test_graphs_of_other_targets_equal_transformers_too(cuda: Bundle) -> None:
    """On the CPU provider, in float16, up to the last of the model's positions, of which devices have tables."""
    ids, graph = tokens(3, CONFIG["max_position_embeddings"]) % 131, Graph(cuda.path, cuda.manifest)
    logits, _ = graph.step(ids, graph.empty(3))
    expected = Stepwise(reference(CONFIG, random_tensors(CONFIG))).step(ids)
    assert isinstance(cuda.manifest, Manifest) and cuda.manifest.cache.dtype == "float16"
    assert np.abs(logits - expected).max() <= 0.03 * np.abs(expected).max()
