"""A checkpoint's ``generation_config.json``: read as transformers reads it, or refused before any work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.checkpoint_files import read_object
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.generation_config import GenerationConfig, is_whole, shown
from youtu_onnx.exporters.text.json_files import check_json
from youtu_onnx.exporters.text.theirs import quiet

NOT_APPLIED: Mapping[str, tuple[Any, ...]] = {
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "num_return_sequences": (1,),
    "diversity_penalty": (0,),
    "penalty_alpha": (0,),
    "dola_layers": (),
    "guidance_scale": (1,),
    "sequence_bias": ({}, []),
    "no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,),
    "bad_words_ids": ([],),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "max_time": (),
    "stop_strings": ([],),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "exponential_decay_length_penalty": (),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "token_healing": (False,),
    "watermarking_config": (),
    "constraints": ([],),
    "force_words_ids": ([],),
}
"""What changes the tokens that transformers generates, and isn't applied here; and values with which it changes nothing."""
NOT_APPLIED_WHEN_SAMPLING: Mapping[str, tuple[Any, ...]] = {
    "min_p": (0,),
    "top_h": (),
    "typical_p": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
}


READ = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty", "max_new_tokens")
"""Entries that checkpoints without the file may have in ``config.json``, beside those that aren't applied."""


def generation_fields(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Which file transformers takes a checkpoint's generation config from, and what of it is about generation.

    Raises:
        CheckpointError: the file isn't JSON.
    """
    path = folder / names.GENERATION_CONFIG
    if path.is_file():
        check_json(path)
        return path, read_object(path, "")
    path = folder / names.CONFIG
    config = read_object(path, "")
    older = (*READ, *NOT_APPLIED, *NOT_APPLIED_WHEN_SAMPLING)
    return path, {name: config[name] for name in older if config.get(name) is not None}


def read_generation_config(folder: Path, vocab_size: int) -> GenerationConfig:
    """The checkpoint's generation config; without the file, what ``config.json`` says of it.

    Raises:
        CheckpointError: it holds what some reader of the bundle could not use, or would take for something else; each by its key.
    """
    path, fields = generation_fields(folder)
    config, faults = GenerationConfig.parse(fields)
    faults += _ids_beyond(fields, vocab_size) + _only_here(fields, config) + _not_applied(fields, config)
    if faults:
        raise CheckpointError(
            f"{path}: {'; '.join(faults)}", hint="correct it, or remove the key: then transformers' default is taken"
        )
    _refuse_what_transformers_refuses(path, fields)
    return config


def _ids_beyond(fields: Mapping[str, Any], vocab_size: int) -> list[str]:
    faults = []
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
        found = fields.get(name)
        listed = found if isinstance(found, list) else [found]
        outside = [one for one in listed if is_whole(one) and not 0 <= one < vocab_size]
        if outside:
            faults.append(f"{name} is {shown(found)}; expected token ids below vocab_size {vocab_size}")
    return faults


def _only_here(fields: Mapping[str, Any], config: GenerationConfig) -> list[str]:
    """Values that generation here would take, and transformers' doesn't."""
    faults = []
    if config.eos_token_ids == ():
        faults.append("eos_token_id is an empty list; expected at least one id, or no such key: config.json's are taken then")
    if config.do_sample and config.temperature == 0:
        faults.append("temperature is 0 with do_sample true; expected do_sample false, which is what that means")
    for name, used in (("temperature", config.do_sample), ("repetition_penalty", True)):
        value = fields.get(name)
        if used and is_whole(value) and value > 1:
            faults.append(f"{name} is {value}; transformers takes no whole number here: expected {value}.0")
    length = fields.get("max_length")
    if length is not None and not (is_whole(length) and length > 0):
        faults.append(f"max_length is {shown(length)}; expected a whole number above 0")
    return faults


def _not_applied(fields: Mapping[str, Any], config: GenerationConfig) -> list[str]:
    keys = {**NOT_APPLIED, **(NOT_APPLIED_WHEN_SAMPLING if config.do_sample else {})}
    return [
        f"{name} is {shown(fields[name])}; transformers would generate by it, and youtu-onnx doesn't"
        for name, neutral in keys.items()
        if fields.get(name) is not None and fields[name] not in neutral
    ]


def _refuse_what_transformers_refuses(path: Path, fields: Mapping[str, Any]) -> None:
    from transformers import GenerationConfig as Theirs

    def refusal(some: Mapping[str, Any]) -> Exception | None:
        with quiet():
            try:
                Theirs.from_dict(dict(some))
            except Exception as error:  # noqa: BLE001 - of whatever class its checks end with
                return error
        return None

    error = refusal(fields)
    if error is not None:
        without = (name for name in fields if not refusal({other: fields[other] for other in fields if other != name}))
        key = next(without, None) or next((name for name in fields if refusal({name: fields[name]})), None)
        what = f"{key} is {shown(fields[key])}" if key else "several keys together"
        said = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: {what}, which transformers refuses ({said})", hint="correct it, or remove the key")
