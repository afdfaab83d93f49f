"""A checkpoint's ``config.json`` as transformers reads it."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

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
        from transformers import YoutuConfig
    except ImportError as error:
        raise CheckpointError(
            "the PyTorch reference needs transformers 5.1 or newer", hint="pip install 'youtu-onnx[export]'"
        ) from error
    fields = copy.deepcopy(dict(checkpoint.config)) | {"model_type": "youtu"}  # transformers changes what is nested in them
    with what_transformers_says(checkpoint):
        config = YoutuConfig.from_dict(fields, attn_implementation="sdpa")
        config.standardize_rope_params()  # as it does again when it makes frequencies of them
    return config


@contextlib.contextmanager
def what_transformers_says(checkpoint: Checkpoint) -> Iterator[None]:
    """Its errors as ours; its remarks on fields that it doesn't read are not for the user of an export."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # of many classes, some of them its own
        raise CheckpointError(
            f"transformers makes no model of {checkpoint.path / CONFIG}: {type(error).__name__}: {error}",
            hint="compare it with the config.json that the model's authors publish",
        ) from error
    finally:
        logger.setLevel(level)
