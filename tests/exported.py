"""Exports of tiny checkpoints, run by ONNX Runtime directly: no adapter of ours between the graph and the numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from transformers import YoutuConfig, YoutuForCausalLM

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.progress import Silent
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import target as target_called
from youtu_onnx.exporters.assemble import assemble
from youtu_onnx.exporters.bundle_writer import write_bundle
from youtu_onnx.exporters.calibration import Calibration
from youtu_onnx.exporters.carried import Carried
from youtu_onnx.exporters.rescaling import rescaled
from youtu_onnx.families.adapters.choice import NamedAdapter
from youtu_onnx.families.adapters.merging import open_merged
from youtu_onnx.verify.difference import centre, compare

Past = list[np.ndarray]


def export_tiny(
    checkpoint: Path,
    folder: Path,
    recipe: Recipe,
    *,
    target: str = "cpu",
    form: str = "latent",
    max_length: int | None = None,
    batch: bool = False,
    adapter: NamedAdapter | None = None,
    adaptable: bool = False,
    calibration: Calibration | None = None,
) -> Manifest:
    """Everything of a bundle but manifest and model card; ``batch``: with the batch graph, where the target has one; ``adapter``:
    merged into the weights; ``adaptable``: with inputs for adapters; ``calibration``: of the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    opened, row = open_merged(str(checkpoint), adapter), target_called(target)
    row = row if batch else replace(row, serves=False)
    assembly = assemble(opened, recipe, row, form, Silent(), max_length, calibration, adaptable=adaptable)
    weights = rescaled(assembly, opened, recipe, row, calibration, Silent())
    if calibration is not None:
        calibration.read_with(weights)
    carried = Carried.of(opened) if (opened.path / names.TOKENIZER).is_file() else Carried()
    return write_bundle(assembly, opened, weights, carried, recipe, row, folder, Silent())


class Graph:
    """model.onnx in a session, fed with plain arrays."""

    def __init__(self, folder: Path, manifest: Manifest, *, many: int | None = None, said: int | None = None) -> None:
        """``many``: new tokens from which keys and values are expanded, instead of the exporter's number; ``said``: see
        :func:`session`."""
        model = None if many is None else with_threshold(folder, many)
        self.session = session(folder, model, said=ERRORS if said is None else said)
        self.cache = manifest.cache
        self.dtype = np.dtype(manifest.cache.dtype)

    def empty(self, batch: int) -> Past:
        return [np.zeros((batch, t.heads, 0, t.width), self.dtype) for t in self.cache.tensors]

    def step(
        self, ids: np.ndarray, past: Past, mask: np.ndarray | None = None, *, keep: int | list[int] | None = None
    ) -> tuple[np.ndarray, Past]:
        """Logits ``[B,S,V]`` float32 and presents; positions count the mask's ones; ``keep``: of how many last positions
        logits are asked for, 0 for all; a list has a number for each row."""
        before = past[0].shape[2]
        mask = np.ones((len(ids), before + ids.shape[1]), np.int64) if mask is None else mask
        positions = np.maximum(mask.cumsum(1) - 1, 0)[:, before:]
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        feeds |= {t.past: array for t, array in zip(self.cache.tensors, past, strict=True)}
        if keep is not None:
            feeds["attention_mask"] = np.concatenate([mask[:, :-1], mask[:, -1:] * (1 + np.reshape(keep, (-1, 1)))], 1)
        logits, *present = self.session.run(["logits", *(t.present for t in self.cache.tensors)], feeds)
        return logits.astype(np.float32), present

    def chunks(self, ids: np.ndarray, size: int) -> np.ndarray:
        past, made = self.empty(len(ids)), []
        for start in range(0, ids.shape[1], size):
            logits, past = self.step(ids[:, start : start + size], past)
            made.append(logits)
        return np.concatenate(made, 1)


WARNINGS, ERRORS = 2, 3


def session(folder: Path, model: onnx.ModelProto | None = None, *, said: int = ERRORS) -> ort.InferenceSession:
    """``folder``'s graph, or a changed one over the same data file. ``said``: the least that ONNX Runtime writes to stderr."""
    options = ort.SessionOptions()
    options.log_severity_level = said
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    graph = str(folder / "model.onnx") if model is None else model.SerializeToString()
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def load(folder: Path) -> onnx.ModelProto:
    """The graph without its weights."""
    return onnx.load(folder / "model.onnx", load_external_data=False)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The graph's, and those of its branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from nodes(attribute.g)


def with_threshold(folder: Path, many: int) -> onnx.ModelProto:
    """The graph with another number of new tokens from which keys and values are expanded."""
    model = load(folder)
    [threshold] = [tensor for tensor in model.graph.initializer if tensor.name == "step.many_from"]
    threshold.CopyFrom(onnx.numpy_helper.from_array(np.array(many, np.int64), threshold.name))
    return model


def cut(folder: Path, given: Mapping[str, type[np.generic]], wanted: Sequence[str]) -> ort.InferenceSession:
    """The part of the exported graph, branches included, that computes the values ``wanted`` from those ``given``.

    Args:
        given: names of values and their dtypes.
    """
    model = load(folder)
    makers = {name: node for node in nodes(model.graph) for name in node.output if node.op_type != "If"}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    needed, taken, names = [], set(), list(wanted)
    while names:
        name = names.pop()
        if name in taken or name in given or not name:
            continue
        taken.add(name)
        if name not in constants:
            needed.append(makers[name])
            taken |= set(makers[name].output)
            names += makers[name].input
    order = {id(node): place for place, node in enumerate(makers.values())}
    needed = sorted({id(node): node for node in needed}.values(), key=lambda node: order[id(node)])
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for name, dtype in given.items()}
    graph = onnx.helper.make_graph(
        needed,
        "cut",
        [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in wanted],
        [tensor for name, tensor in constants.items() if name in taken],
    )
    return session(folder, onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version))


def reference(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> YoutuForCausalLM:
    """transformers' own model of this config with these weights, in float32."""
    fields = copy.deepcopy(config) | {"model_type": "youtu"}  # what is nested in them is changed
    model = YoutuForCausalLM(YoutuConfig.from_dict(fields, attn_implementation="eager")).eval()
    missing, unexpected = model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    model.tie_weights()
    return model


class Stepwise:
    """transformers' model over its own cache, a step at a time.

    On one thread: for tiny matrices a second one costs a hundred times what it saves where others use the cores.
    """

    def __init__(self, model: YoutuForCausalLM) -> None:
        self.model, self.cache = model, None

    def step(self, ids: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """``mask`` as in :meth:`Graph.step`."""
        before = 0 if self.cache is None else self.cache.get_seq_length()
        mask = np.ones((len(ids), before + ids.shape[1]), np.int64) if mask is None else mask
        positions = np.maximum(mask.cumsum(1) - 1, 0)[:, before:]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                made = self.model(
                    torch.from_numpy(ids),
                    attention_mask=torch.from_numpy(mask),
                    use_cache=True,
                    position_ids=torch.from_numpy(positions),
                    past_key_values=self.cache,
                )
        finally:
            torch.set_num_threads(threads)
        self.cache = made.past_key_values
        return made.logits.numpy()


def furthest_from_transformers(
    folder: Path, manifest: Manifest, config: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> float:
    """The largest relative error of a prompt, a chunk and a token of three sequences, two of them padded, in both orders of
    attention."""
    prompts = np.random.default_rng(0).integers(3, 131, (3, 90))
    mask = np.ones_like(prompts)
    mask[1, :40] = mask[2, :87] = 0
    errors = []
    for many in (1, 10**6):
        graph, model = Graph(folder, manifest, many=many), Stepwise(reference(config, tensors))
        past = graph.empty(3)
        for start, stop in ((0, 70), (70, 89), (89, 90)):
            logits, past = graph.step(prompts[:, start:stop], past, mask[:, :stop])
            assert np.isfinite(logits).all()
            real = mask[:, start:stop].astype(bool)
            expected = model.step(prompts[:, start:stop], mask[:, :stop])[real]
            errors.append(compare(expected, logits[real], centre(expected)).relative_error)
    return max(errors)


def reference_logits(model: YoutuForCausalLM, ids: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    with torch.no_grad():
        if mask is None:
            return model(torch.from_numpy(ids)).logits.numpy()
        positions = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0))
        return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), position_ids=positions).logits.numpy()
