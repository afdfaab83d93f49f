"""The class that Optimum's models are of, which programs ask for by ``isinstance``."""

from __future__ import annotations

from typing import Any

try:
    from optimum.modeling_base import OptimizedModel
except ImportError:  # not installed, or optimum 2.3 without requests, which it imports and doesn't ask for

    class OptimizedModel:  # type: ignore[no-redef]
        """Stands in for Optimum's where Optimum isn't there: nothing here needs what it brings."""

        def __call__(self, *inputs: Any, **options: Any) -> Any:
            return self.forward(*inputs, **options)

        def forward(self, *inputs: Any, **options: Any) -> Any:
            raise NotImplementedError


__all__ = ["OptimizedModel"]
