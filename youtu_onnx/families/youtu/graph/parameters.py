"""Where each parameter of the traced modules comes from: checkpoint tensors, and what is done to them.

Nothing is read here. A :class:`~youtu_onnx.graphs.parameter.Parameter` is a recipe that the weight streamer follows when its turn
comes.
"""

from __future__ import annotations

from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.layer_parameters import LayerParameters
from youtu_onnx.graphs.parameter import Parameter, Rows

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


def parameters(architecture: Architecture, form: GraphForm) -> dict[str, Parameter]:
    """All parameters of the model's graph: name in the graph → how to build it."""
    a = architecture
    embedding = (a.vocab_size, a.hidden_size)
    found = {
        EMBEDDING: Parameter((EMBEDDING,), embedding, lambda given: given[EMBEDDING], "matrix", rows=(Rows(EMBEDDING),)),
        **form.dialect.positions(a),
        NORM: Parameter((NORM,), (a.hidden_size,), lambda given: given[NORM], "vector"),
    }
    for layer in range(a.num_hidden_layers):
        found |= LayerParameters(a, form.latent, f"model.layers.{layer}.").parameters()
    head = EMBEDDING if a.tie_word_embeddings else HEAD
    found[HEAD] = Parameter((head,), embedding, lambda given: given[head], "matrix", rows=(Rows(head),))
    return found
