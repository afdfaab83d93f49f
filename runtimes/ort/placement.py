"""On which provider a session's nodes run: what was asked for, and what stayed on the CPU.

ONNX Runtime gives the CPU every node that a provider does not take, and says nothing. Two kinds of them are told apart
here: the small computations that may stay there, each with a reason (``youtu_onnx/conformance/host.py``), and all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from youtu_onnx.conformance import TABLES
from youtu_onnx.conformance.host import ANY, excuse
from youtu_onnx.core.errors import ProviderError
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.providers import short

HEAVY_OPS = frozenset(
    (
        "MatMul",
        "FusedMatMul",
        "MatMulNBits",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "Gemm",
        "FusedGemm",
        "Attention",
        "GroupQueryAttention",
        "MultiHeadAttention",
    )
)
"""Where the time goes. One of these on the CPU means that a provider did not take the graph."""


@dataclass(frozen=True)
class Stray:
    """A node that another provider runs. ``reason``: why that is as it should be; None: it isn't."""

    op: str
    name: str
    provider: str
    reason: str | None

    @property
    def heavy(self) -> bool:
        return self.op in HEAVY_OPS

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}"


@dataclass(frozen=True)
class Placement:
    """Where a session's nodes are.

    Attributes:
        provider: the one that was asked for, as this project calls it.
        nodes: provider → how many nodes; empty where this ONNX Runtime doesn't tell.
        strays: the nodes elsewhere.
    """

    provider: str
    nodes: Mapping[str, int]
    strays: tuple[Stray, ...]

    @classmethod
    def of(cls, session: Any, row: Provider) -> Placement:
        """Read it from a session that was made with ``session.record_ep_graph_assignment_info``."""
        if not hasattr(session, "get_provider_graph_assignment_info"):
            return cls(row.name, {}, ())
        counts: Counter[str] = Counter()
        strays = []
        allowed = TABLES[row.name].may_leave if row.name in TABLES else ANY
        for part in session.get_provider_graph_assignment_info():
            nodes = part.get_nodes()
            counts[short(part.ep_name)] += len(nodes)
            if part.ep_name != row.ort:
                strays += [
                    Stray(node.op_type, node.name, short(part.ep_name), excuse(allowed, node.op_type, node.name))
                    for node in nodes
                ]
        return cls(row.name, dict(counts), tuple(strays))

    @property
    def heavy(self) -> tuple[Stray, ...]:
        """Strays that a step's time goes to."""
        return tuple(stray for stray in self.strays if stray.heavy)

    @property
    def unexpected(self) -> tuple[Stray, ...]:
        """Strays that no reason excuses."""
        return tuple(stray for stray in self.strays if stray.reason is None)

    def check(self, *, require: bool) -> None:
        """Refuse a session that runs elsewhere: heavy nodes always, and with ``require`` every unexpected one.

        Raises:
            ProviderError: it does, or it can't be told though it is required.
        """
        if require and not self.nodes:
            raise ProviderError(
                f"this onnxruntime does not tell where nodes run, so provider {self.provider} can't be required",
                hint="pip install -U onnxruntime, or drop --require-provider",
            )
        found = self.unexpected if require else self.heavy
        if found:
            kind = "operations that belong on it" if require else "heavy operations"
            listed = ", ".join(map(str, found[:3]))
            raise ProviderError(
                f"provider {self.provider} leaves {len(found)} {kind} to {found[0].provider}, among them {listed}",
                hint=f"export a bundle for it (youtu-onnx export --target {self.provider}), or choose --provider cpu",
            )

    def summary(self) -> str:
        """``webgpu 158 nodes, cpu 16 (Shape 2, …)``."""
        if not self.nodes:
            return f"{self.provider}; this onnxruntime does not tell where nodes run"
        text = ", ".join(f"{name} {count} node{'' if count == 1 else 's'}" for name, count in self.nodes.items())
        ops = Counter(stray.op for stray in self.strays)
        return text + (f" ({', '.join(f'{op} {count}' for op, count in ops.most_common())})" if ops else "")

    def to_dict(self) -> dict[str, Any]:
        strays = [
            {"op": one.op, "name": one.name, "provider": one.provider, "heavy": one.heavy, "reason": one.reason}
            for one in self.strays
        ]
        return {"provider": self.provider, "nodes": dict(self.nodes), "strays": strays}
