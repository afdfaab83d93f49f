"""Where a graph is meant to run: one table of what providers are good at.

Exporters ask it; what comes of it is recorded in the bundle (``core/bundle/graph_facts.py``), and readers go by that. A row says
what a provider can do, and a model family decides what to make of it. A row is added when its form has been run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from youtu_onnx.core.errors import UsageError

OPSET = 23
"""First opset with RMSNormalization and RotaryEmbedding; ONNX Runtime 1.24 and later run it."""
RESERVED = 4096
"""Tokens that a static cache has room for unless the user says otherwise, or the model has fewer positions. Each step reads and
writes all of them: 144 MiB for Youtu-LLM-2B in float16."""


@dataclass(frozen=True)
class Target:
    """One row of the table.

    Attributes:
        name: what the user types after ``--target``.
        provider: the execution provider that runs its graphs, as in ``--provider``.
        float_dtype: dtype of activations and unquantized weights when the precision is int4 or int8.
        zero_points: whether 4/8-bit weights carry explicit uint8 zero points even when symmetric (WebGPU takes no other form, and
            an older DirectML was seen to read a missing one as 0; 1.15.4 doesn't).
        gather_quantized: whether GatherBlockQuantized runs there; otherwise the embedding is unpacked by plain arithmetic.
        integer_products: whether products of bytes (MatMulInteger) are faster there than those of floats.
        branches: whether a graph may have an ``If``, which graph capture does not take, and compute logits on request only.
        block_size: weights per scale unless the user says otherwise, or the model is narrow
            (:data:`youtu_onnx.core.recipe.NARROW`): what the provider's int4 kernels are fast with.
        opset: of ONNX's operators. From :data:`OPSET` on there are RMSNormalization and RotaryEmbedding; before, norms are ONNX
            Runtime's SimplifiedLayerNormalization and rotations products with tables. DirectML has kernels up to opset 21, CUDA
            none for the Equal of opset 19, neither CUDA nor WebGPU one for the Cos of 22. DirectML's RotaryEmbedding of four
            dimensions gives wrong values in a captured graph.
        fused_matmul: whether FusedMatMul, a product with a transposed matrix, runs there.
        static_cache: whether past and present are one buffer of a reserved length: DirectML under onnxruntime-genai captures
            its graph and takes nothing else.
        columns: numbers of which a 4/8-bit matrix's rows must be a multiple (DirectML leaves others to the CPU).
        even_blocks: whether rows of an int4 embedding with zero points must have an even number of blocks. With an odd one, two
            rows' zero points share a byte, and ONNX Runtime 1.24 to 1.26 on the CPU reads them wrongly without a word. Phones get
            their ONNX Runtime from stores of packages that lag behind; the Swift package is at 1.24.2.
        even_at_8_bits: whether rows of an 8-bit matrix must have an even number of blocks. DirectML looks for the zero points of
            row n at n · (k + 1) where k, the number of blocks, is odd: wrong numbers without a word. CUDA's and WebGPU's kernels
            look at n · k.
        serves: whether several sequences are served there at once: a bundle then has a batch graph, where its family has one.
        little_memory: whether memory is what it is short of: the cache is then the smallest that the weights allow.
    """

    name: str
    provider: str
    float_dtype: str
    zero_points: bool
    gather_quantized: bool
    integer_products: bool
    branches: bool
    block_size: int
    opset: int = OPSET
    fused_matmul: bool = True
    static_cache: bool = False
    columns: int = 1
    even_blocks: bool = False
    even_at_8_bits: bool = False
    little_memory: bool = False
    serves: bool = False

    @property
    def on_cpu(self) -> bool:
        """Whether its graphs are those of the CPU provider, whatever else differs."""
        return self.provider == "cpu"

    def length(self, max_length: int | None, positions: int) -> int | None:
        """Tokens to reserve for a model of so many positions; None where the cache grows. Raises as :meth:`check_length`."""
        self.check_length(max_length)
        if not self.static_cache:
            return None
        return min(RESERVED, positions) if max_length is None else max_length

    def check_length(self, max_length: int | None) -> None:
        """
        Raises:
            UsageError: a length was asked for, and the cache grows.
        """
        if max_length is not None and not self.static_cache:
            static = ", ".join(row.name for row in TARGETS.values() if row.static_cache)
            raise UsageError(
                f"--max-length reserves a cache of fixed length; that of target {self.name} grows with the sequence",
                hint=f"leave --max-length away, or choose --target {static}",
            )

    def floats(self, precision: str) -> str:
        """dtype of activations and logits for a recipe's precision: its own where that is a float's."""
        return {"fp32": "float32", "fp16": "float16"}.get(precision, self.float_dtype)


_CPU = Target(
    "cpu",
    "cpu",
    "float32",
    zero_points=False,
    gather_quantized=True,
    integer_products=True,
    branches=True,
    block_size=256,
    serves=True,
)
TARGETS = {
    "cpu": _CPU,
    # The same graph: on a phone, too, the CPU provider runs it, and blocks of 256 are the fewest bytes. Memory is what a phone is
    # short of, hence the cache of bytes; nor do phones serve others.
    "mobile": replace(_CPU, name="mobile", even_blocks=True, little_memory=True, serves=False),
    "cuda": Target(
        "cuda",
        "cuda",
        "float16",
        zero_points=False,
        gather_quantized=True,
        integer_products=False,
        branches=False,
        block_size=128,
        opset=18,
    ),
    "dml": Target(
        "dml",
        "dml",
        "float16",
        zero_points=True,
        gather_quantized=False,
        integer_products=False,
        branches=False,
        block_size=128,
        opset=18,
        static_cache=True,
        columns=32,
        even_at_8_bits=True,
    ),
    "webgpu": Target(
        "webgpu",
        "webgpu",
        "float16",
        zero_points=True,
        gather_quantized=True,
        integer_products=False,
        branches=False,
        block_size=128,
        opset=18,
        fused_matmul=False,
    ),
}


def target(name: str) -> Target:
    """The row called ``name``.

    Raises:
        UsageError: no such target.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise UsageError(f"unknown target {name!r}", hint=f"choose one of: {', '.join(TARGETS)}") from None
