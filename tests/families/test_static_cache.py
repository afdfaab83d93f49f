"""A cache of reserved length: the graph for DirectML, proven on the CPU, and what the adapter makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tests.exported import Graph, cut, export_tiny, load, nodes, reference, reference_logits, session  # noqa: E402
from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint  # noqa: E402
from youtu_onnx import export  # noqa: E402
from youtu_onnx.bench.sequences import ManySequences  # noqa: E402
from youtu_onnx.core.bundle import Bundle, Manifest, names  # noqa: E402
from youtu_onnx.core.cache import CacheLayout  # noqa: E402
from youtu_onnx.core.errors import BundleError, UsageError  # noqa: E402
from youtu_onnx.core.recipe import Recipe  # noqa: E402
from youtu_onnx.core.target import RESERVED, target  # noqa: E402
from youtu_onnx.exporters.quantize.quantizer import quantize  # noqa: E402
from youtu_onnx.exporters.quantize.round_to_nearest import RoundToNearest  # noqa: E402
from youtu_onnx.inspect.inspection import inspect_bundle  # noqa: E402
from youtu_onnx.runtimes.opening import open_decoder  # noqa: E402
from youtu_onnx.runtimes.ort.model import OrtModel  # noqa: E402
from youtu_onnx.runtimes.ort.static_cache import full_mask  # noqa: E402

LENGTH = 21
EXACT = {"rtol": 1e-4, "atol": 1e-4}
WIDE = CONFIG | {"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "q_lora_rank": 32, "v_head_dim": 32}
"""Rows of every matrix are multiples of 32."""


class Buffers:
    """Sequences in a static graph: past and present are one memory, which begins as NaN."""

    def __init__(self, folder: Path, manifest: Manifest, batch: int = 1) -> None:
        self.session, self.cache = session(folder), manifest.cache
        self.values = [
            ort.OrtValue.ortvalue_from_numpy(np.full((batch, 1, self.cache.length, t.width), np.nan, self.cache.dtype))
            for t in self.cache.tensors
        ]
        self.mask = np.zeros((batch, 0), np.int64)

    def step(self, ids: np.ndarray, seen: np.ndarray | None = None, *, padded: bool = True) -> np.ndarray:
        """Logits ``[B,S,V]``. ``seen``: the mask of these tokens; ``padded``: whether the mask has the reserved length."""
        self.mask = np.concatenate([self.mask, np.ones_like(ids) if seen is None else seen], 1)
        total = self.mask.shape[1]
        positions = np.maximum(self.mask.cumsum(1) - 1, 0)[:, total - ids.shape[1] :]
        mask = np.pad(self.mask, ((0, 0), (0, self.cache.length - total))) if padded else self.mask
        binding = self.session.io_binding()
        for name, array in (("input_ids", ids), ("attention_mask", mask), ("position_ids", positions)):
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))
        for tensor, value in zip(self.cache.tensors, self.values, strict=True):
            binding.bind_ortvalue_input(tensor.past, value)
            binding.bind_ortvalue_output(tensor.present, value)
        binding.bind_output("logits")
        self.session.run_with_iobinding(binding)
        return binding.get_outputs()[-1].numpy().astype(np.float32)

    def chunks(self, ids: np.ndarray, size: int, seen: np.ndarray | None = None, *, padded: bool = True) -> np.ndarray:
        starts = range(0, ids.shape[1], size)
        return np.concatenate(
            [self.step(ids[:, s : s + size], None if seen is None else seen[:, s : s + size], padded=padded) for s in starts], 1
        )

    def rewind(self, count: int) -> None:
        self.mask = self.mask[:, :-count]


def random_ids(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(3).integers(3, CONFIG["vocab_size"], (batch, length))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Manifest]]:
    """Exports for the target ``dml``, made once per set of options."""
    made: dict[object, tuple[Path, Manifest]] = {}

    def get(
        variant: str = "default",
        precision: str = "fp32",
        *,
        wide: bool = False,
        length: int | None = LENGTH,
        target: str = "dml",
        symmetric: bool = False,
        block: int = 32,
    ) -> tuple[Path, Manifest]:
        key = (variant, precision, wide, length, target, symmetric, block)
        if key not in made:
            folder = tmp_path_factory.mktemp("static")
            checkpoint = write_checkpoint(folder / "checkpoint", (WIDE if wide else CONFIG) | VARIANTS[variant])
            recipe = Recipe(precision, block, symmetric)
            made[key] = folder, export_tiny(checkpoint, folder, recipe, target=target, max_length=length)
        return made[key]

    return get


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_equals_transformers_however_the_steps_are_cut(exported, variant: str) -> None:
    """Up to exactly the reserved length, with both lengths of mask."""
    folder, manifest = exported(variant)
    config = CONFIG | VARIANTS[variant]
    ids = random_ids(2, LENGTH)
    expected = reference_logits(reference(config, random_tensors(config)), ids)
    for size in (1, 5, LENGTH):
        for padded in (True, False):
            np.testing.assert_allclose(Buffers(folder, manifest, 2).chunks(ids, size, padded=padded), expected, **EXACT)


def test_it_equals_the_growing_form(exported) -> None:
    ids = random_ids(2, LENGTH)
    growing = Graph(*exported(length=None, target="cuda", precision="fp32"))
    for size in (1, 4, LENGTH):
        np.testing.assert_allclose(Buffers(*exported(), 2).chunks(ids, size), growing.chunks(ids, size), **EXACT)


@pytest.mark.parametrize("size", [1, 4, 12])
def test_prompts_padded_on_the_left_are_as_if_alone(exported, size: int) -> None:
    """Also where a step has nothing but padding for one of them."""
    folder, manifest = exported()
    model = reference(CONFIG, random_tensors(CONFIG))
    ids, seen = random_ids(3, 16), np.ones((3, 16), np.int64)
    for row, padding in enumerate((0, 3, 9)):
        seen[row, :padding] = 0
    logits = Buffers(folder, manifest, 3).chunks(ids, size, seen)
    for row, padding in enumerate((0, 3, 9)):
        np.testing.assert_allclose(logits[row, padding:], reference_logits(model, ids[row : row + 1, padding:])[0], **EXACT)


def test_tokens_that_were_taken_back_leave_no_trace(exported) -> None:
    buffers, ids = Buffers(*exported()), random_ids(1, LENGTH)
    expected = Buffers(*exported()).step(ids)[:, 6:]
    buffers.step(ids[:, :6])
    buffers.step(random_ids(1, 40)[:, 25:])  # to the last row
    buffers.rewind(15)
    np.testing.assert_allclose(np.concatenate([buffers.step(ids[:, 6:8]), buffers.step(ids[:, 8:])], 1), expected, **EXACT)


def test_a_sequence_that_ends_before_the_others_keeps_its_rows(exported) -> None:
    """A zero behind a sequence's last token: the place of the new ones is that of the longest."""
    folder, manifest = exported()
    ids, seen = random_ids(2, 12), np.ones((2, 12), np.int64)
    seen[1, 8:] = 0
    buffers = Buffers(folder, manifest, 2)
    buffers.chunks(ids, 4, seen)
    logits = buffers.step(ids[:, :1], np.array([[1], [1]]))
    alone = Buffers(folder, manifest)
    alone.step(ids[1:, :8])
    np.testing.assert_allclose(logits[1:], alone.step(ids[1:, :1]), **EXACT)


def test_float16_is_near_float32(exported) -> None:
    ids = random_ids(2, LENGTH)
    expected = Buffers(*exported(), 2).step(ids)
    for size in (1, 6, LENGTH):
        logits = Buffers(*exported(precision="fp16"), 2).chunks(ids, size)
        assert np.abs(logits - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_integer_weights_give_what_the_growing_form_gives(exported, precision: str) -> None:
    """In blocks of 16, of which all rows have an even number."""
    ids = random_ids(2, LENGTH)
    growing = Graph(*exported(precision=precision, wide=True, length=None, target="webgpu", block=16))
    expected = growing.step(ids, growing.empty(2))[0]
    static = exported(precision=precision, wide=True, block=16)
    logits = Buffers(*static, 2).chunks(ids, 4)
    # float16 sums in another order decide some roundings of activations
    assert np.sqrt(((logits - expected) ** 2).mean()) < 0.03 * expected.std()
    at_once = Buffers(*static, 2).step(ids)
    assert np.abs(logits - at_once).max() < 0.02 * np.abs(at_once).max()


@pytest.mark.parametrize(("hidden", "block", "tied"), [(64, 32, True), (96, 32, False), (160, 64, True)])
@pytest.mark.parametrize(("precision", "bits"), [("int4", 4), ("int8", 8)])
def test_the_embedding_is_unpacked_from_its_bytes(
    tmp_path: Path, precision: str, bits: int, hidden: int, block: int, tied: bool
) -> None:
    """Also from an odd number of blocks, and from a last one with padding."""
    config = WIDE | {"hidden_size": hidden, "tie_word_embeddings": tied}
    tensors = random_tensors(config)
    checkpoint = write_checkpoint(tmp_path / "checkpoint", config, tensors)
    recipe = Recipe(precision, block)
    export_tiny(checkpoint, tmp_path, recipe, target="dml", max_length=LENGTH)
    model = load(tmp_path)
    [name] = {
        node.input[0]
        for node in model.graph.node
        if node.op_type == "SimplifiedLayerNormalization" and node.input[1] == "model.layers.0.input_layernorm.weight"
    }
    ids = np.arange(CONFIG["vocab_size"])[None]
    [rows] = cut(tmp_path, {"input_ids": np.int64}, [name]).run(None, {"input_ids": ids})
    storage = recipe.storage(("model.embed_tokens.weight",), hidden, even_at_8_bits=True)
    expected = quantize(RoundToNearest(), tensors["model.embed_tokens.weight"], storage, torch.float16).dequantize()[:, :hidden]
    np.testing.assert_allclose(rows[0], expected.half().numpy(), rtol=2e-3, atol=1e-6)
    assert storage.bits == bits and len(np.unique(rows[0, :, : storage.block_size][0])) <= 2**bits
    shared = {tensor.name for tensor in model.graph.initializer if "embed_tokens" in tensor.name}
    assert bool(shared - {"model.embed_tokens.weight_rows"}) != tied, "a tied one's bytes are the head's"


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
def test_no_operator_that_directml_leaves_to_the_cpu_or_gets_wrong(exported, precision: str, symmetric: bool) -> None:
    model = load(exported(precision=precision, wide=True, symmetric=symmetric)[0])
    constants = {tensor.name for tensor in model.graph.initializer}
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    listed = list(nodes(model.graph))
    found = {node.op_type for node in listed}
    left_or_wrong = {
        "GatherBlockQuantized",
        "RMSNormalization",
        "ScatterND",
        "ScatterElements",
        "Scatter",
        "Range",
        "RotaryEmbedding",
        "GroupQueryAttention",
        "Attention",
        "TensorScatter",
        "PagedAttention",
    }
    assert not found & (left_or_wrong | {"Shape", "If", "Loop"})
    assert len(listed) == len(model.graph.node), "no branches"
    for node in listed:
        if node.op_type == "Reshape":
            assert node.input[1] in constants and makers.get(node.input[0]) != "Concat"
        if node.op_type in ("Slice", "CumSum", "ReduceMax", "Unsqueeze", "Squeeze"):
            assert all(name in constants for name in node.input[1:])
        if node.op_type == "MatMulNBits":
            given = {attribute.name: attribute.i for attribute in node.attribute}
            assert given["K"] % 32 == 0 and len(node.input) == 4 and node.input[3] in constants
    zero_points = [
        tensor
        for tensor in model.graph.initializer
        if any(tensor.name == node.input[3] for node in listed if node.op_type == "MatMulNBits")
    ]
    assert all(tensor.data_type == onnx.TensorProto.UINT8 for tensor in zero_points)
    assert ("MatMulNBits" in found) == bool(zero_points) == (precision in ("int8", "int4"))
    opsets = {one.domain: one.version for one in model.opset_import}
    assert opsets == {"": 18, "com.microsoft": 1}, "DirectML has no kernels beyond opset 21"
    floats = onnx.TensorProto.FLOAT if precision == "fp32" else onnx.TensorProto.FLOAT16
    assert all(value.type.tensor_type.elem_type == floats for value in model.graph.output)


def test_inputs_and_outputs_have_the_reserved_length(exported) -> None:
    graph = load(exported()[0]).graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*graph.input, *graph.output]}
    width = CONFIG["kv_lora_rank"] + CONFIG["qk_rope_head_dim"]
    assert shapes["past_key_values.1.value"] == shapes["present.1.value"] == ["batch_size", 1, LENGTH, width]
    assert shapes["attention_mask"] == ["batch_size", "total_sequence_length"], "of the tokens so far, or of the reserved length"


def test_the_manifest_records_the_length(exported) -> None:
    manifest = exported()[1]
    assert manifest.cache.length == manifest.context_length == LENGTH
    assert CacheLayout.from_dict(json.loads(json.dumps(manifest.cache.to_dict()))) == manifest.cache
    growing = exported(length=None, target="cuda")[1]
    assert growing.cache.length is None and growing.context_length == CONFIG["max_position_embeddings"]
    for wrong in (0, -1, 2.5, "21", True):
        with pytest.raises(ValueError, match="length"):
            CacheLayout.from_dict(manifest.cache.to_dict() | {"length": wrong})
    older = growing.cache.to_dict()
    del older["length"]
    assert CacheLayout.from_dict(older) == growing.cache, "bundles made before there was a length"


def test_genai_reserves_the_same_length(exported) -> None:
    fields = json.loads((exported()[0] / names.GENAI_CONFIG).read_text())
    search = fields["search"]
    assert search["past_present_share_buffer"] is True and search["max_length"] == fields["model"]["context_length"] == LENGTH
    assert search["chunk_size"] == 512
    assert fields["model"]["decoder"]["session_options"]["provider_options"] == [{"dml": {}}]
    growing = json.loads((exported(length=None, target="cuda")[0] / names.GENAI_CONFIG).read_text())["search"]
    assert growing["past_present_share_buffer"] is False and "chunk_size" not in growing


def test_the_default_length_is_4096_or_the_models() -> None:
    dml, cuda = target("dml"), target("cuda")
    assert (dml.length(None, 131072), dml.length(None, 64), dml.length(9000, 131072)) == (RESERVED, 64, 9000) == (4096, 64, 9000)
    assert cuda.length(None, 131072) is None
    with pytest.raises(UsageError, match="grows with the sequence"):
        cuda.length(4096, 131072)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "1 to 64"),
        ({"max_length": 65}, "1 to 64"),
        ({"form": "expanded"}, "latent only"),
        ({"form": "latent-int8"}, "int8 cache needs"),
        ({"recipe": Recipe("int4", 32)}, "multiple of 32"),
        ({"max_length": 32, "target": "cpu"}, "target cpu grows"),
        ({"max_length": 32, "target": "webgpu"}, "target webgpu grows"),
    ],
)
def test_what_the_form_can_not_do_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(UsageError, match=message):
        export_tiny(checkpoint, tmp_path / "bundle", **{"recipe": Recipe("fp32"), "target": "dml"} | options)


def test_a_length_for_a_growing_target_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--max-length"):
        export("youtu-nano", tmp_path / "bundle", max_length=512)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def bundle(exported) -> Bundle:
    return Bundle(*exported())


def test_the_decoder_stops_at_the_reserved_length(bundle: Bundle) -> None:
    decoder, ids = open_decoder(bundle, provider="cpu"), random_ids(1, LENGTH)[0].tolist()
    assert decoder.context_length == LENGTH
    decoder.prefill(ids[:-1])
    last = decoder.decode(ids[-1:])
    with pytest.raises(UsageError, match=f"context of {LENGTH}"):
        decoder.decode([5])
    decoder.rewind(3)
    np.testing.assert_allclose(decoder.decode(ids[-3:])[-1:], last, **EXACT)
    decoder.close()


def test_an_odd_number_of_layers_decodes_like_the_graph(bundle: Bundle) -> None:
    ids = random_ids(1, LENGTH)
    expected = Buffers(bundle.path, bundle.manifest).step(ids)[0]
    decoder = open_decoder(bundle, provider="cpu")
    rows = [*decoder.decode(ids[0, :9].tolist()), *(decoder.decode([one])[0] for one in ids[0, 9:].tolist())]
    np.testing.assert_allclose(rows, expected, **EXACT)


def test_a_stateless_step_leaves_its_past_as_it_was(bundle: Bundle) -> None:
    """Two continuations of one past, a batch of two, and both are right."""
    model, ids = OrtModel(bundle, "cpu"), random_ids(2, 16)

    def run(first: int, last: int, past: list[ort.OrtValue] | None, tokens: np.ndarray) -> tuple[np.ndarray, list[ort.OrtValue]]:
        positions = np.tile(np.arange(first, last), (2, 1))
        return model.run(tokens[:, first:last], np.ones((2, last), np.int64), positions, past)

    other = np.concatenate([ids[:, :8], random_ids(2, 40)[:, 20:28]], 1)
    _, past = run(0, 8, None, ids)
    one, one_past = run(8, 12, past, ids)
    two, _ = run(8, 12, past, other)
    three, _ = run(12, 16, one_past, ids)
    expected = Buffers(bundle.path, bundle.manifest, 2).step(ids)
    np.testing.assert_allclose(np.concatenate([one, three], 1), expected[:, 8:], **EXACT)
    np.testing.assert_allclose(two, Buffers(bundle.path, bundle.manifest, 2).step(other[:, :12])[:, 8:], **EXACT)


def test_steps_beyond_the_reserved_length_are_refused(bundle: Bundle) -> None:
    model, ids = OrtModel(bundle, "cpu"), random_ids(1, LENGTH + 1)
    with pytest.raises(UsageError, match=f"{LENGTH + 1} tokens are more than the {LENGTH}"):
        model.run(ids, np.ones_like(ids), np.arange(LENGTH + 1)[None])
    with pytest.raises(UsageError, match=f"context of {LENGTH}"):
        model.run_batch([[5] * (LENGTH + 1), [5]], pad_id=0)


def test_masks_are_filled_up_and_say_where_the_step_ends() -> None:
    assert full_mask(np.array([[0, 1], [1, 0]]), 4).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert full_mask(np.array([[1, 0], [0, 0]]), 4).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]  # the place, of padding alone


def test_sequences_that_are_measured_together_return_to_a_length(bundle: Bundle) -> None:
    model, ids = OrtModel(bundle, "cpu"), random_ids(2, LENGTH)
    sequences = ManySequences(model, ids)
    for start, end in ((5, 12), (5, LENGTH), (3, 9)):
        sequences.append(max(0, end - sequences.length))
        sequences.rewind_to(start)
        assert sequences.length == start
    logits, _ = model.run(ids[:, 3:4], np.ones((2, 4), np.int64), np.full((2, 1), 3), sequences._past)
    np.testing.assert_allclose(logits, Buffers(bundle.path, bundle.manifest, 2).step(ids[:, :4])[:, 3:], **EXACT)


def test_a_manifest_of_another_length_is_refused(bundle: Bundle, exported) -> None:
    growing = Bundle(*exported(length=None, target="cuda"))
    for other, length in ((bundle, None), (bundle, LENGTH + 1), (growing, LENGTH)):
        wrong = replace(other.manifest, cache=replace(other.manifest.cache, length=length))
        with pytest.raises(BundleError, match="reserved length"):
            OrtModel(Bundle(other.path, wrong), "cpu")


def test_inspect_counts_the_reserved_memory(nano_bundle: Callable[..., Path]) -> None:
    found = inspect_bundle(nano_bundle("fp32", target="dml"))
    [context] = found.contexts
    assert context.tokens == 1024 and context.cache == 1024 * found.manifest.cache.bytes_per_token
    assert not found.conformance("dml").faults


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
def test_youtu_nano_is_verified_against_pytorch(tmp_path: Path, precision: str) -> None:
    made = export("youtu-nano", tmp_path / "bundle", precision=precision, target="dml", max_length=256)
    assert made.parity is not None and made.parity.passed
    assert made.bundle.manifest.cache.length == 256
    if precision == "fp32":
        for prompt in made.parity.prompts:
            assert prompt.greedy_equal == prompt.greedy_steps
            assert all(found.max_abs < 1e-3 for found in prompt.paths.values())


def test_genai_gives_the_same_tokens_alone_and_in_a_padded_batch(nano_bundle: Callable[..., Path]) -> None:
    """On the CPU, where genai's mask has the length of the tokens so far."""
    og = pytest.importorskip("onnxruntime_genai")
    growing, folder = OrtModel(Bundle.open(nano_bundle("fp32"))), nano_bundle("fp32", target="dml")
    rng = np.random.default_rng(11)
    prompts = [rng.integers(4, 1270, length).tolist() for length in (5, 120, 17)]

    ends = list(growing.bundle.manifest.model.eos_token_ids)

    def expected(prompt: list[int], count: int) -> list[int]:
        decoder, taken = open_decoder(growing.bundle), []
        logits = decoder.prefill(prompt)
        for _ in range(count):
            logits[ends] = -np.inf  # as genai does up to min_length
            taken.append(int(logits.argmax()))
            logits = decoder.decode(taken[-1:])[0]
        decoder.close()
        return taken

    def tokens(batch: list[list[int]], count: int, **options: int) -> list[list[int]]:
        config = og.Config(str(folder))
        config.clear_providers()
        params = og.GeneratorParams(model := og.Model(config))
        width = max(map(len, batch))
        params.set_search_options(batch_size=len(batch), do_sample=False, min_length=width + count + 1, **options)
        generator = og.Generator(model, params)
        pad = json.loads((folder / names.GENAI_CONFIG).read_text())["model"]["pad_token_id"]
        padded = np.array([one + [pad] * (width - len(one)) for one in batch], np.int32)  # genai takes padding on the right
        generator.append_tokens(padded if len(batch) > 1 else padded[0])
        for _ in range(count):
            generator.generate_next_token()
        return [list(map(int, generator.get_sequence(row)))[width:] for row in range(len(batch))]

    wanted = [expected(prompt, 12) for prompt in prompts]
    for options in ({}, {"chunk_size": 16}):
        assert [tokens([prompt], 12, **options)[0] for prompt in prompts] == wanted
    assert tokens(prompts, 12) == wanted
