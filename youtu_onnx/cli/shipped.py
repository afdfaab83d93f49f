"""Names of models that come with the package."""

from __future__ import annotations

from pathlib import Path

from youtu_onnx.core.checkpoint_files import CONFIG
from youtu_onnx.core.errors import CheckpointError

NANO, MICROREASON = "youtu-nano", "microreason"
SHIPPED = Path(__file__).parent.parent / "models" / "microreason"
"""Where MicroReason's weights are in a package that has them."""


def checkpoint_called(name: str, instead: str) -> str:
    """What an export takes for a name: of MicroReason its folder, else the name itself.

    Args:
        instead: what to do where this package has no MicroReason.

    Raises:
        CheckpointError: it hasn't.
    """
    if name != MICROREASON or Path(name).is_dir():
        return name
    if not (SHIPPED / CONFIG).is_file():
        raise CheckpointError(
            f"this version of youtu-onnx has no trained MicroReason: {SHIPPED / CONFIG} is missing",
            hint=f"train one (training/microreason/README.md) and {instead}",
        )
    return str(SHIPPED)
