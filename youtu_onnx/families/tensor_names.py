"""Names of tensors as tools leave them, and as the model has them.

What training puts around a model stands in the names that it saves: ``module.`` (DataParallel, DeepSpeed), ``_orig_mod.``
(torch.compile), ``base_model.model.`` (PEFT), ``_fsdp_wrapped_module.``, an attribute of somebody's own class. It says nothing
of the weights. transformers itself reads names with ``model.`` once too often or not at all, and finds nothing under the others.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from youtu_onnx.core.errors import CheckpointError

T = TypeVar("T")

WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
ROOT, FIRST = "model.", "layers.0.input_layernorm.weight"
"""Of every model of Hugging Face's; of every one with layers."""
HEAD = "lm_head.weight"
ADAPTED = re.compile(r"\.(lora_\w+|base_layer|modules_to_save|original_module|ia3_l|hada_\w+|oft_\w+|vera_\w+)(\.|$)")
"""Parts of names that PEFT adds where an adapter is not merged."""


def plain(tensors: Mapping[str, T], needed: Collection[str]) -> dict[str, T]:
    """The tensors under the model's own names, where those are found by leaving out what is around them; else as they are.

    Raises:
        CheckpointError: two would have one name.
    """
    bare = {name: WRAPPERS.sub("", name) for name in tensors}
    roots = {name.removesuffix(FIRST) for name in bare.values() if name.endswith(FIRST)}
    if len(roots) == 1:
        [root] = roots
        heads = {root.removesuffix(ROOT) + HEAD, root + HEAD}
        bare = {
            name: HEAD if one in heads else ROOT + one.removeprefix(root) if one.startswith(root) else one
            for name, one in bare.items()
        }
    found: dict[str, T] = {}
    if _missing(set(bare.values()), needed) >= _missing(tensors, needed):
        return dict(tensors)
    for name, info in tensors.items():
        if bare[name] in found:
            other = next(one for one in bare if bare[one] == bare[name])
            raise CheckpointError(
                f"two tensors would be {bare[name]} without what is around the model: {other} and {name}",
                hint="save the one that is meant with save_pretrained",
            )
        found[bare[name]] = info
    return found


def adapted(tensors: Iterable[str]) -> list[str]:
    """Those that belong to an adapter which is not merged."""
    return [name for name in tensors if ADAPTED.search(name)]


def nearest(name: str, there: Iterable[str]) -> str | None:
    """Of names that nothing needs, the one most like a missing one; of a layer, in the same layer."""
    layer = re.search(r"\.\d+\.", name)
    alike = [one for one in there if layer is None or layer[0] in one]
    return next(iter(difflib.get_close_matches(name, alike, n=1)), None)


def _missing(there: Collection[str], needed: Collection[str]) -> int:
    return sum(name not in there for name in needed)
