"""Names of the graphs' free axes, and their dtypes in the two libraries."""

from __future__ import annotations

import onnx_ir as ir
import torch

BATCH, SEQUENCE, PAST, TOTAL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
IR_DTYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16, "uint8": ir.DataType.UINT8}
