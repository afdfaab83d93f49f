"""``youtu-onnx export``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import Offline, Revision
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.deferred import Deferred
from youtu_onnx.core.recipe import Algorithm, Precision
from youtu_onnx.families.adapters.choice import MERGE, AdapterChoice
from youtu_onnx.publish.options import ExportOptions

if TYPE_CHECKING:
    from youtu_onnx.publish import several
else:
    several = Deferred("youtu_onnx.publish.several", "exporting", extra="export")


@dataclass(frozen=True)
class ExportArguments:
    """How a bundle is made."""

    precision: Annotated[str, typer.Option("--precision", "-p", help="fp32, fp16, int8 or int4.")] = "int4"
    block_size: Annotated[
        int | None,
        typer.Option(
            help="Weights per scale: 16, 32, 64, 128 or 256; without it, what is fast on the target, 256 on CPUs "
            "and elsewhere 128, and 64 for models narrower than 2048."
        ),
    ] = None
    symmetric: Annotated[bool, typer.Option("--symmetric/--asymmetric", help="Without zero points, or with.")] = False
    int8: Annotated[
        str,
        typer.Option(
            metavar="PATTERNS",
            help="Keep these matrices at 8 bits, too, e.g. 'lm_head,*.o_proj'; "
            "'none' takes 4 bits even for kv_a_proj_with_mqa, which all heads read.",
        ),
    ] = ""
    algorithm: Annotated[
        str,
        typer.Option(
            help="How codes are chosen: rtn (rounding to the nearest), or by a text, slower and closer: gptq, awq or gptq+awq."
        ),
    ] = "rtn"
    bits_per_weight: Annotated[
        float | None,
        typer.Option(
            metavar="BITS",
            help="Of all weights on average at most, e.g. 4.8: each matrix gets the bits and block size that its sensitivity "
            "asks for, measured on a text.",
            show_default=False,
        ),
    ] = None
    calibration: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text or .jsonl with chats to measure inputs on; may be repeated. "
            "Without it, ids drawn at random for rtn, and a text that comes with this package for the others.",
            show_default=False,
        ),
    ] = None
    calibration_tokens: Annotated[int, typer.Option(help="Of that text, so many tokens at most.")] = 8192
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-e",
            help="Where it will run: cpu, cuda, dml, webgpu or mobile; several, "
            "separated by commas, become a bundle each in one folder.",
        ),
    ] = "cpu"
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="Of a Youtu-LLM latent (small), latent-fp16 (half of that), latent-int8 (a quarter, faster "
            "beyond 4,000 tokens) or expanded (per-head keys and values); without it, latent, "
            "and for mobile latent-int8 where the weights are int4 or int8. Of a MicroReason routed (rows leave "
            "it, for cpu and mobile) or masked (a row for every token).",
        ),
    ] = None
    max_length: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS",
            help="Tokens to reserve where the cache is static (target dml); without it, 4096 or the model's context.",
        ),
    ] = None
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Also lay the files out for transformers.js, which has its own names for them; or for a page in the browser, "
            "which gets a graph that is faster in WebAssembly.",
        ),
    ] = None
    save_checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write the int4 weights as a checkpoint of compressed-tensors, which transformers loads.",
            show_default=False,
        ),
    ] = None
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Check it against PyTorch before publishing.")] = True
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle, and publish one that failed verification.")] = False
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]DIR", help="A LoRA in PEFT's format; with hot it may be repeated.", show_default=False),
    ] = None
    adapter_mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="merge (into the weights, before they are quantized) or hot (beside them: chosen by request, added later).",
        ),
    ] = MERGE
    revision: Revision = None
    offline: Offline = False

    @property
    def targets(self) -> list[str]:
        return [one.strip() for one in self.target.split(",")]

    def options(self) -> ExportOptions:
        return ExportOptions(
            precision=cast(Precision, self.precision),  # the recipe refuses others
            block_size=self.block_size,
            symmetric=self.symmetric,
            int8=tuple(pattern.strip() for pattern in self.int8.split(",") if pattern.strip()),
            algorithm=cast(Algorithm, self.algorithm),  # and here
            bits_per_weight=self.bits_per_weight,
            calibration=tuple(self.calibration or ()),
            calibration_tokens=self.calibration_tokens,
            cache=self.cache,
            max_length=self.max_length,
            layout=self.layout,
            save_checkpoint=self.save_checkpoint,
            verify=self.verify,
            force=self.force,
            adapters=AdapterChoice.parse(self.adapter or (), self.adapter_mode),
            revision=self.revision,
            offline=self.offline,
        )


def export(
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="DIR_OR_HUB_ID", help="Checkpoint folder, hub id, or youtu-nano.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of the bundle; it must not exist or be empty.")
    ],
    arguments: ExportArguments,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    made = several.export_to(model, output, arguments.targets, arguments.options(), progress())
    if as_json:
        described = [one.to_dict() for one in made]
        console.print_json(described[0] if len(described) == 1 else {"folder": str(output), "bundles": described})
        return
    for one in made:
        per_token = one.bundle.manifest.cache.bytes_per_token
        typer.echo(f"bundle    {one.bundle.path}")
        typer.echo(f"size      {one.bundle.size / 1e6:,.1f} MB; cache {per_token / 1024:,.1f} KiB per token")
        typer.echo(f"verified  {one.parity.summary() if one.parity else 'no (--no-verify)'}")
        typer.echo(f"try it    {console.program()} chat {console.quoted(one.bundle.path)}")
