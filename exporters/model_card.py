"""``README.md`` of a bundle: what it is and how to run it, written from its manifest."""

from __future__ import annotations

from pathlib import Path

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.families.known import architecture_of, family_called


def write_model_card(manifest: Manifest, folder: Path) -> None:
    (folder / names.MODEL_CARD).write_text(model_card(manifest), encoding="utf-8")


def model_card(manifest: Manifest) -> str:
    """Markdown with the metadata block that the Hugging Face hub reads."""
    a, recipe, cache = architecture_of(manifest.model), manifest.recipe, manifest.cache
    source = manifest.source.model + (f" at revision `{manifest.source.revision}`" if manifest.source.revision else "")
    if manifest.source.adapter is not None:
        source += f" with the LoRA adapter {manifest.source.adapter.name} merged into it,"
    size = sum(entry.size for entry in manifest.files.values())
    stored = ", ".join(f"{count} × {label}" for label, count in sorted(manifest.tensors.items()))
    hub = f"base_model: {manifest.source.model}\n" if "/" in manifest.source.model else ""
    genai = (
        ""
        if names.GENAI_CONFIG not in manifest.files
        else """
With onnxruntime-genai, in Python, C#, Java or C++, the folder opens as it is:

```python
import onnxruntime_genai as og
model = og.Model("path/of/this/folder")
```
"""
    )
    return f"""---
library_name: onnx
pipeline_tag: text-generation
{hub}tags: [{", ".join(("onnx", *family_called(manifest.model.family).tags))}]
---

# {manifest.source.model.rpartition("/")[2]}, {recipe.precision}, for {manifest.target}

Made from {source} by youtu-onnx {manifest.tools.get("youtu-onnx", "")} on {manifest.created[:10]}.

| | |
|---|---|
| parameters | {a.parameters:,} |
| layers / heads / hidden | {a.num_hidden_layers} / {a.num_attention_heads} / {a.hidden_size} |
| context | {manifest.context_length:,} tokens |
| weights | {stored} |
| size | {size / 1e6:,.1f} MB |
| cache | {cache.form}, {cache.dtype}, {cache.bytes_per_token / 1024:,.1f} KiB per token{"" if cache.uniform else " at most"} |

## Run it

```
pip install youtu-onnx
youtu-onnx chat path/of/this/folder
```
{genai}
With ONNX Runtime alone: `{names.MODEL}` takes `input_ids`, `attention_mask`, `position_ids` and the past tensors that
`{names.MANIFEST}` lists under `cache.tensors`, and returns `logits` and the presents.

## How close it is to PyTorch

{_parity(manifest)}
"""


def _parity(manifest: Manifest) -> str:
    report = manifest.verification
    if report is None:
        return "Not verified: it was exported with `--no-verify`."
    rows = [
        f"| {key.replace('_', ' ')} | {_number(value)} |" for key, value in report.items() if isinstance(value, (int, float, str))
    ]
    verdict = f"Measured at export, on real prompts, against {family_called(manifest.model.family).witness} in float32."
    return "\n".join([verdict, "", "| measure | value |", "|---|---|", *rows])


def _number(value: float | str | bool) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
