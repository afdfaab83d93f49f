"""A model of one family that doesn't exist, whose layers cache different numbers of tokens: what adapters may not assume.

Layer 0 keeps a row for each token with an even id, layer 1 one row, the sum of all tokens. So tokens can't be counted by rows,
and none can be taken back. Token t has the vector e(t) = onehot(t mod V), and the logits after each token are::

    sum over all tokens so far of e(t)  +  100 · sum over the even ones so far of e(t)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.cache import CacheLayout, CacheTensor

V = 8
LAYOUT = CacheLayout(
    form="counting",
    dtype="float32",
    tensors=(
        CacheTensor("past.evens", "present.evens", 1, V, 0, "evens"),
        CacheTensor("past.sum", "present.sum", 1, V, 1, "sum"),
    ),
    uniform=False,
    rewindable=False,
    prefix_shareable=False,
)


def counting_bundle(folder: Path, like: Bundle, layout: CacheLayout = LAYOUT) -> Bundle:
    """A folder with the graph, and a manifest like another's that says what it is."""
    folder.mkdir()
    onnx.save(_graph(), folder / "model.onnx")
    facts = replace(like.manifest.model, family="counting", vocab_size=V, max_position_embeddings=600)
    graph = replace(like.manifest.graph, optimized=False, expands_from=None, float_dtype="float32", mask_keeps_logits=False)
    return Bundle(folder, replace(like.manifest, model=facts, cache=layout, graph=graph, slots=None))


def logits_after(ids: Sequence[int]) -> np.ndarray:
    """``[S, V]``, one row after each token, computed without a cache."""
    rows = np.eye(V, dtype=np.float32)[np.asarray(ids) % V]
    evens = rows * (1 - np.asarray(ids) % 2)[:, None]
    return rows.cumsum(0) + 100 * evens.cumsum(0)


def _graph() -> onnx.ModelProto:
    def node(operator: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(operator, inputs.split(), [output], **attributes)

    def constant(name: str, value: object, dtype: type) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(value, dtype), name)

    def tensor(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    nodes = [
        node("Gather", "table input_ids", "flat"),  # [B,S,V]
        node("Unsqueeze", "flat one", "rows"),  # [B,1,S,V]
        node("Mod", "input_ids two", "odd"),
        node("Sub", "one_scalar odd", "even"),
        node("Cast", "even", "weight", to=TensorProto.FLOAT),
        node("Unsqueeze", "weight last", "weights"),
        node("Mul", "flat weights", "even_rows"),
        # layer 0: the even rows alone
        node("Reshape", "even all", "even_flat"),
        node("Cast", "even_flat", "is_even", to=TensorProto.BOOL),
        node("Compress", "rows is_even", "new_evens", axis=2),
        node("Concat", "past.evens new_evens", "present.evens", axis=2),
        # layer 1: the sum of what was and what is new
        node("Concat", "past.sum rows", "sum_and_rows", axis=2),
        node("ReduceSum", "sum_and_rows third", "present.sum", keepdims=1),
        # logits
        node("ReduceSum", "past.sum first_and_third", "sum_before", keepdims=0),  # [B,V]
        node("ReduceSum", "past.evens first_and_third", "evens_before", keepdims=0),
        node("CumSum", "flat one_scalar", "sums"),
        node("CumSum", "even_rows one_scalar", "evens"),
        node("Add", "sums sum_before", "of_all"),
        node("Add", "evens evens_before", "of_evens"),
        node("Mul", "of_evens hundred", "weighted"),
        node("Add", "of_all weighted", "plain"),
        # what runtimes feed and this model has no use for
        node("Concat", "attention_mask position_ids", "unread", axis=1),
        node("ReduceSum", "unread", "unread_sum", keepdims=0),
        node("Mul", "unread_sum zero", "nothing"),
        node("Cast", "nothing", "nothing_float", to=TensorProto.FLOAT),
        node("Add", "plain nothing_float", "logits"),
    ]
    graph = helper.make_graph(
        nodes,
        "counting",
        [
            tensor("input_ids", TensorProto.INT64, "B", "S"),
            tensor("attention_mask", TensorProto.INT64, "B", "T"),
            tensor("position_ids", TensorProto.INT64, "B", "S"),
            tensor("past.evens", TensorProto.FLOAT, "B", 1, "E", V),
            tensor("past.sum", TensorProto.FLOAT, "B", 1, "P", V),
        ],
        [
            tensor("logits", TensorProto.FLOAT, "B", "S", V),
            tensor("present.evens", TensorProto.FLOAT, "B", 1, "E2", V),
            tensor("present.sum", TensorProto.FLOAT, "B", 1, "P2", V),
        ],
        [
            numpy_helper.from_array(np.eye(V, dtype=np.float32), "table"),
            constant("zero", 0, np.int64),
            constant("one", [1], np.int64),
            constant("last", [-1], np.int64),
            constant("all", [-1], np.int64),
            constant("third", [2], np.int64),
            constant("first_and_third", [1, 2], np.int64),
            constant("one_scalar", 1, np.int64),
            constant("two", 2, np.int64),
            constant("hundred", 100, np.float32),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model
