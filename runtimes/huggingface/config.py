"""A bundle's architecture and generation defaults as transformers' configurations."""

from __future__ import annotations

import transformers
from transformers import GenerationConfig, PretrainedConfig

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError
from youtu_onnx.families.known import architecture_of, family_called


def config_of(bundle: Bundle) -> PretrainedConfig:
    """The family's, such as ``YoutuConfig``, whichever generation the checkpoint's was; a plain one in releases without it."""
    family, fields = family_called(bundle.manifest.model.family), architecture_of(bundle.manifest.model).to_hf_config()
    kind = getattr(transformers, family.transformers_config, None)
    config: PretrainedConfig = PretrainedConfig(**fields) if kind is None else kind(**fields)
    if kind is None:
        vars(config)["model_type"] = family.transformers_type  # of the class, says its type
    config.architectures = [family.transformers_class]
    config._name_or_path = str(bundle.path)
    return config


def generation_config_of(bundle: Bundle, config: PretrainedConfig) -> GenerationConfig:
    """The bundle's ``generation_config.json``; without one, what ``config`` implies.

    Raises:
        BundleError: transformers can't read it.
    """
    path = bundle.file(names.GENERATION_CONFIG)
    if not path.is_file():
        return GenerationConfig.from_model_config(config)
    try:
        return GenerationConfig.from_pretrained(bundle.path)
    except Exception as error:  # of whatever class its checks end with
        raise BundleError(
            f"transformers can't read {path}: {type(error).__name__}: {error}", hint="copy or export the bundle again"
        ) from error
