"""A checkpoint's ``config.json`` as transformers reads it."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from youtu_onnx.core.checkpoint_files import CONFIG
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.families.checkpoint import Checkpoint

if TYPE_CHECKING:
    from transformers import YoutuConfig


def own_config(checkpoint: Checkpoint) -> YoutuConfig:
    """transformers' configuration, made of the file's own fields and not of an ``Architecture``.

    ``model_type`` alone is changed: transformers knows the older generation, ``youtu_llm``, by the name ``youtu`` only.

    Raises:
        CheckpointError: transformers makes no configuration of it, or isn't installed.
    """
    try:
        import transformers.models.youtu  # noqa: F401
    except ImportError as error:
        raise CheckpointError(
            "the PyTorch reference needs transformers 5.1 or newer", hint="pip install 'youtu-onnx[export]'"
        ) from error
    with what_transformers_says(checkpoint):
        return _made(checkpoint.config)


@contextlib.contextmanager
def what_transformers_says(checkpoint: Checkpoint) -> Iterator[None]:
    """Its errors as ours, with the key that they come from; its remarks on fields that it doesn't read are not for the user of an
    export."""
    with _quiet():
        try:
            yield
        except Exception as error:  # of many classes, some of them its own
            key, said = _culprit(checkpoint.config), " ".join(str(error).split())
            raise CheckpointError(
                f"{checkpoint.path / CONFIG}: transformers makes no model of it{f' because of {key}' if key else ''} "
                f"({type(error).__name__}: {said})",
                hint="compare it with the config.json that the model's authors publish",
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _made(config: Mapping[str, Any]) -> YoutuConfig:
    from transformers import YoutuConfig

    fields = copy.deepcopy(dict(config)) | {"model_type": "youtu"}  # transformers changes what is nested in them
    made = YoutuConfig.from_dict(fields, attn_implementation="sdpa")
    made._attn_implementation = "sdpa"  # whatever the machine that wrote the file had
    made.standardize_rope_params()  # as it does again when it makes frequencies of them
    return made


def _culprit(config: Mapping[str, Any]) -> str | None:
    """The key without which transformers would make a model of it."""
    for outer in ("rope_scaling", "rope_parameters"):
        given = config.get(outer)
        inside: dict[str, Any] = given if isinstance(given, dict) else {}
        for name in sorted(inside, key=lambda one: one in ("rope_type", "type")):
            if _makes_a_model({**config, outer: {one: inside[one] for one in inside if one != name}}):
                return f"{outer}.{name}"
    return next((name for name in config if _makes_a_model({one: config[one] for one in config if one != name})), None)


def _makes_a_model(config: Mapping[str, Any]) -> bool:
    import torch
    from transformers.models.youtu.modeling_youtu import YoutuDecoderLayer, YoutuRotaryEmbedding

    try:
        made = _made(config)
        YoutuRotaryEmbedding(made)
        with torch.device("meta"):
            YoutuDecoderLayer(made, layer_idx=0)
    except Exception:  # noqa: BLE001  # as above
        return False
    return True
