"""An adapter on disk: its configuration, and which of its tensors change what of a model.

Only headers are read when it is opened; every name and shape is held against the model's before any number is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import AdapterError, listed
from youtu_onnx.core.foreign import some
from youtu_onnx.core.hub_cache import name_and_commit
from youtu_onnx.core.safetensors_files import TensorInfo, of_other_dtypes, read_headers
from youtu_onnx.families.adapters.arrays import read_array
from youtu_onnx.families.adapters.config import AdapterConfig
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.graphs.rounded import Floats

WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
EMBEDDING, HEAD = "model.embed_tokens", "lm_head"
LISTED_FAULTS = 12
ROOT = "base_model.model."
"""PEFT's own, before every name of the model."""
_PART = re.compile(
    r"(?P<module>.+?)\.(?:(?P<factor>lora_[AB])\.weight|(?P<table>lora_embedding_[AB])"
    r"|(?P<magnitude>lora_magnitude_vector)(?:\.weight)?"
    r"|(?:base_layer\.|modules_to_save\.)?(?P<whole>weight|bias))"
)


@dataclass(frozen=True)
class Factors:
    """What a module's matrix ``[N,K]`` is changed by: ``scale · left @ right``, and then its rows' lengths where it is a DoRA.

    Attributes:
        left: ``[N,R]``: lora_B, or of an embedding lora_embedding_A, transposed.
        right: ``[R,K]``: lora_A, or of an embedding lora_embedding_B, transposed.
        magnitude: ``[N]``, the length that each row has at last; None: as it comes.
    """

    left: Floats
    right: Floats
    scale: float
    magnitude: Floats | None

    @property
    def rank(self) -> int:
        return len(self.right)


@dataclass(frozen=True)
class Stored:
    """Where the tensors of a module's factors lie, as PEFT names them. ``table``: of an embedding."""

    a: tuple[str, TensorInfo]
    b: tuple[str, TensorInfo]
    magnitude: tuple[str, TensorInfo] | None
    scale: float
    table: bool

    @property
    def rank(self) -> int:
        return self.a[1].shape[0]

    def read(self) -> Factors:
        """
        Raises:
            AdapterError: the file shrank since it was opened, or holds NaN or infinity.
        """
        a, b = read_array(*self.a), read_array(*self.b)
        left, right = (a.T, b.T) if self.table else (b, a)
        return Factors(left, right, self.scale, None if self.magnitude is None else read_array(*self.magnitude))


@dataclass(frozen=True)
class Adapter:
    """A LoRA that fits a model.

    Attributes:
        name: its folder's; of a snapshot in the hub's cache, the repository's.
        sha256: of its weights' file.
        modules: by the module's name in the model (``model.layers.0.self_attn.o_proj``).
        replaced: tensors of the model that the adapter brings whole: modules_to_save, trained biases.
    """

    name: str
    path: Path
    sha256: str
    config: AdapterConfig
    modules: Mapping[str, Stored]
    replaced: Mapping[str, TensorInfo]

    @classmethod
    def open(cls, folder: str | Path, architecture: Architecture, name: str | None = None) -> Adapter:
        """``name``: instead of its folder's.

        Raises:
            AdapterError: no adapter is there, it is of another kind, or tensors, which are named, don't fit the model.
            CheckpointError: its file is damaged.
        """
        path = Path(folder).expanduser()
        config = AdapterConfig.read(path)
        file = _weights(path)
        stored, faults = read_headers((file,))
        faults += of_other_dtypes(stored)
        parts = _Parts.of(stored, config)
        faults += parts.faults + list(_misfits(parts, config, architecture))
        if faults:
            shown = faults[:LISTED_FAULTS] + [f"… and {len(faults) - LISTED_FAULTS} more"] * (len(faults) > LISTED_FAULTS)
            of = f" (it says that it was trained on {config.base})" if config.base else ""
            raise AdapterError(
                listed(f"the adapter in {path} doesn't fit this model{of}", shown),
                hint="name the model that it was trained on; every tensor of the adapter has to fit",
            )
        return cls(name or name_and_commit(path)[0], path, describe_file(file).sha256, config, parts.modules, parts.replaced)


@dataclass
class _Parts:
    """Tensors sorted by what they are."""

    modules: dict[str, Stored] = field(default_factory=dict)
    replaced: dict[str, TensorInfo] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, stored: Mapping[str, TensorInfo], config: AdapterConfig) -> _Parts:
        made = cls()
        factors: dict[str, dict[str, tuple[str, TensorInfo]]] = {}
        for name, info in stored.items():
            found = _PART.fullmatch(name.removeprefix(ROOT)) if name.startswith(ROOT) else None
            if found is None:
                made.faults.append(f"{name}: nothing of a LoRA has such a name")
            elif found["whole"]:
                made.replaced[f"{found['module']}.{found['whole']}"] = info
            else:
                kind = found["factor"] or found["table"] or found["magnitude"]
                factors.setdefault(found["module"], {})[kind] = (name, info)
        for module, parts in factors.items():
            table = "lora_embedding_A" in parts or "lora_embedding_B" in parts
            a, b = ("lora_embedding_A", "lora_embedding_B") if table else ("lora_A", "lora_B")
            magnitude = parts.get("lora_magnitude_vector")
            if a not in parts or b not in parts:
                made.faults.append(f"{module} has {some(parts)} alone; expected {a} and {b}")
            elif config.dora != (magnitude is not None):
                said = "use_dora is true, and there is no" if config.dora else "use_dora is false, and there is a"
                made.faults.append(f"{module}: {said} lora_magnitude_vector")
            else:
                made.modules[module] = Stored(parts[a], parts[b], magnitude, config.scale_of(module), table)
        if not stored:
            made.faults.append("it has no tensors")
        return made


def _misfits(parts: _Parts, config: AdapterConfig, architecture: Architecture) -> Iterator[str]:
    shapes = dict(architecture.tensor_shapes())
    shapes[f"{HEAD}.weight"] = shapes[f"{EMBEDDING}.weight"]  # where the two are tied as well: trained, it has one of its own
    for module, one in parts.modules.items():
        shape = shapes.get(f"{module}.weight")
        if shape is None or len(shape) != 2:
            yield f"{one.a[0]}: the model has no matrix {module}"
            continue
        if one.table != (module == EMBEDDING):
            yield f"{one.a[0]}: {module} is {'no embedding' if one.table else 'an embedding'}"
            continue
        if one.table and one.magnitude is not None:
            yield f"{one.magnitude[0]}: the DoRA of an embedding, which measures whole columns, isn't built"
            continue
        rank, (rows, columns) = config.rank_of(module), shape
        a, b = ((rank, rows), (columns, rank)) if one.table else ((rank, columns), (rows, rank))
        for (name, info), expected in ((one.a, a), (one.b, b), *([(one.magnitude, (rows,))] if one.magnitude else [])):
            if info.shape != expected:
                yield f"{name} has shape {list(info.shape)}; expected {list(expected)}"
    for name, info in parts.replaced.items():
        if name not in shapes:
            yield f"{name}: the model has no such tensor"
        elif info.shape != shapes[name]:
            yield f"{name} has shape {list(info.shape)}; expected {list(shapes[name])}"


def _weights(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if (folder / PICKLED).is_file():
        raise AdapterError(
            f"{folder} has only pickled weights ({PICKLED}), which can run any code when loaded; they are refused",
            hint="save it as safetensors where you trust it: PeftModel.from_pretrained(base, folder).save_pretrained(new_folder)",
        )
    raise AdapterError(f"{folder} has no {WEIGHTS}", hint="copy the adapter again, with its weights")
