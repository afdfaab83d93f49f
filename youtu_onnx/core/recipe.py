"""How weights are stored: precision, block size, zero points, and which tensors are exceptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.target import TARGETS

Precision = Literal["fp32", "fp16", "int8", "int4"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", "int4")
Algorithm = Literal["rtn", "gptq", "awq", "gptq+awq"]
ALGORITHMS: Mapping[Algorithm, str] = {
    "rtn": "rounding to the nearest, in the range of least error",
    "gptq": "codes that make up for one another's errors on a text (GPTQ)",
    "awq": "rounding to the nearest, channels scaled such that it costs least on a text (AWQ)",
    "gptq+awq": "both, AWQ's scales first",
}
"""How codes are chosen, and what that is in words."""
BLOCK_SIZES = (16, 32, 64, 128, 256)
NARROW, NARROW_BLOCK = 2048, 64
"""Models with narrower hidden states than that have blocks of 64 at most unless the user says otherwise: fewer numbers make up
for one another's rounding there, and their time isn't that of the products, which larger blocks make faster."""
SCALE_BYTES = 4
"""Of a block's scale in float32, the larger of the two that are used."""


@dataclass(frozen=True)
class Blockwise:
    """Integer storage of a matrix ``[N, K]``: each run of ``block_size`` numbers along K has one scale.

    ``bits`` is 4 or 8. Symmetric blocks centre on zero; asymmetric ones have a zero point each.
    """

    bits: int
    block_size: int
    symmetric: bool


@dataclass(frozen=True)
class Recipe:
    """What the user asked for; frozen, and recorded in the manifest.

    Attributes:
        precision: of the matrices; norms and biases stay float.
        block_size: numbers per scale at most, 16 to 256; only int4 and int8 use it. See :func:`block_for`.
        symmetric: int4/int8 without zero points (slightly smaller and faster, slightly less exact).
        int8: shell patterns on Hugging Face tensor names (``lm_head``, ``*.o_proj``, ``model.layers.0.*``) whose
            matrices are kept at 8 bits in an int4 export.
        algorithm: how codes are chosen; one of :data:`ALGORITHMS`.
        mixed: matrices of the graph, by name, with bits and block size of their own: what was chosen for a number of bits a
            weight. Those that aren't named are stored as the rest of the recipe says.
    """

    precision: Precision = "int4"
    block_size: int = TARGETS["cpu"].block_size
    symmetric: bool = False
    int8: tuple[str, ...] = ()
    algorithm: Algorithm = "rtn"
    mixed: tuple[tuple[str, int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"unknown precision {self.precision!r}", hint=f"choose one of: {', '.join(PRECISIONS)}")
        if self.block_size not in BLOCK_SIZES:
            raise UsageError(
                f"block size {self.block_size} is not supported", hint=f"choose one of: {', '.join(map(str, BLOCK_SIZES))}"
            )
        if self.int8 and self.precision != "int4":
            raise UsageError(
                f"--int8 names exceptions from int4, but the precision is {self.precision}",
                hint="drop --int8, or export with --precision int4",
            )

        if self.algorithm not in ALGORITHMS:
            raise UsageError(f"unknown algorithm {self.algorithm!r}", hint=f"choose one of: {', '.join(ALGORITHMS)}")
        if self.algorithm != "rtn" and not self.quantized:
            raise UsageError(
                f"{self.algorithm} chooses codes, and {self.precision} has none",
                hint="drop --algorithm, or export with int4 or int8",
            )
        if self.searches_scales and self.precision != "int4":
            raise UsageError(
                f"{self.algorithm} scales channels for 4 bits, and the precision is {self.precision}, which balances them anyway",
                hint="drop --algorithm, or export with --precision int4",
            )

    @property
    def calibrated(self) -> bool:
        """Whether codes depend on a text."""
        return self.algorithm != "rtn"

    @property
    def compensates(self) -> bool:
        """Whether codes are others than the nearest ones."""
        return self.algorithm in ("gptq", "gptq+awq")

    @property
    def searches_scales(self) -> bool:
        """Whether a text says by which factors channels of inputs are divided, and the columns behind them multiplied."""
        return self.algorithm in ("awq", "gptq+awq")

    @property
    def rescaled(self) -> bool:
        """Whether there may be such factors in a bundle, those that balance int8's inputs among them."""
        return self.searches_scales or self.precision == "int8"

    @property
    def weighs_inputs(self) -> bool:
        """Whether it matters what matrices are multiplied with."""
        return self.calibrated or self.precision == "int4"

    def keeping(self, sensitive: tuple[str, ...]) -> Recipe:
        """With these matrices at 8 bits, too, where others have 4."""
        return replace(self, int8=(*self.int8, *sensitive)) if self.precision == "int4" else self

    @property
    def quantized(self) -> bool:
        return self.precision in ("int4", "int8")

    def storage(self, names: Iterable[str], columns: int, *, even_at_8_bits: bool = False) -> Blockwise | None:
        """How the matrix built from these checkpoint tensors, with so many numbers a row, is stored; None means float.

        A matrix fused from several tensors is kept at the highest precision that any of them asks for. ``even_at_8_bits``: see
        :attr:`youtu_onnx.core.target.Target.even_at_8_bits`.
        """
        if not self.quantized:
            return None
        for name, bits, block_size in self.mixed:
            if name in names:
                return Blockwise(bits, block_size, self.symmetric)
        eight = self.precision == "int8" or any(matches(pattern, name) for pattern in self.int8 for name in names)
        bits = 8 if eight else 4
        return Blockwise(bits, block_for(columns, bits, self.block_size, even=even_at_8_bits and eight), self.symmetric)

    def unmatched(self, names: Iterable[str]) -> tuple[str, ...]:
        """Exception patterns that name none of these tensors: an option without effect, which is refused."""
        listed = list(names)
        return tuple(p for p in self.int8 if not any(matches(p, name) for name in listed))

    def for_width(self, hidden_size: int) -> Recipe:
        """With the block size that a model so wide has unless the user says otherwise, or asks for bits a weight: then it is
        chosen matrix by matrix."""
        return replace(self, block_size=min(self.block_size, NARROW_BLOCK)) if hidden_size < NARROW else self

    def with_even_blocks(self, columns: int) -> Recipe:
        """With the largest block size up to its own that stores a row of so many 4-bit numbers in an even number of blocks;
        unchanged where there is none."""
        for size in (one for one in reversed(BLOCK_SIZES) if one <= self.block_size):
            if -(-columns // block_for(columns, 4, size)) % 2 == 0:
                return replace(self, block_size=size)
        return self

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"int8": list(self.int8), "mixed": [list(one) for one in self.mixed]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Recipe:
        mixed = tuple((str(name), int(bits), int(block)) for name, bits, block in fields.get("mixed", ()))
        return cls(**(fields | {"int8": tuple(fields["int8"]), "mixed": mixed}))


def block_for(columns: int, bits: int, largest: int, *, even: bool = False) -> int:
    """The block size of at most ``largest`` that stores a row of ``columns`` numbers in the fewest bytes.

    It is ``largest`` wherever that divides the row. A last block is stored whole, so rows of 128 numbers in blocks of 256 would
    be half padding. ``even``: of those that make an even number of blocks, where there are such: 2 blocks of 64 for 128 numbers.
    """

    def row_bytes(size: int) -> float:
        return -(-columns // size) * (size * bits / 8 + SCALE_BYTES + bits / 8)  # codes, scale, zero point

    sizes = [size for size in reversed(BLOCK_SIZES) if size <= largest]
    fit = [size for size in sizes if -(-columns // size) % 2 == 0] if even else []
    return min(fit or sizes, key=row_bytes)


def matches(pattern: str, name: str) -> bool:
    """Whether a shell pattern names a tensor, with or without its ``.weight`` and its leading ``model.``."""
    stem = name.removesuffix(".weight")
    return any(fnmatchcase(form, pattern) for form in (name, stem, stem.removeprefix("model.")))
