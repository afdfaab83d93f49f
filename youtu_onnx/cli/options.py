"""Options that several commands share: each a field of a dataclass, which a command takes as one parameter.

:func:`youtu_onnx.cli.flat.flat` makes options of the fields.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from youtu_onnx.cli import completion
from youtu_onnx.core.errors import UsageError
from youtu_onnx.publish.kept.named import folder_called
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.runtimes.providers.options import ProviderOptions, parse

BundleFolder = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        help="Folder that youtu-onnx export wrote, or the name of a model that youtu-onnx run keeps.",
        parser=folder_called,
        autocompletion=completion.bundles_and_kept,
    ),
]
System = Annotated[str | None, typer.Option(help="A system message that opens the conversation.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use the hub's local cache only.")]
MergedAdapter = Annotated[
    str | None,
    typer.Option(
        "--adapter", metavar="[NAME=]DIR", help="The LoRA that is merged into the bundle's weights.", show_default=False
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads on the CPU. Default: one per physical core.")]


@dataclass(frozen=True)
class ProviderArguments:
    """Where to run."""

    provider: Annotated[
        str | None, typer.Option(help="Where to run: cpu, cuda, dml, webgpu, … Default: what the bundle was exported for.")
    ] = None
    device: Annotated[int | None, typer.Option(metavar="N", help="Which GPU, from 0 (cuda, dml).", show_default=False)] = None
    memory_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Most memory that the provider's arena takes, as 6GiB (cuda).", show_default=False),
    ] = None
    tf32: Annotated[
        bool | None,
        typer.Option(
            "--tf32/--no-tf32",
            help="Let float32 products round to TF32 (cuda). Default: ONNX Runtime's, which does; verify doesn't.",
        ),
    ] = None
    kernels: Annotated[
        str | None,
        typer.Option(
            metavar="[native|onnxruntime]",
            show_default=False,
            help="Whose kernels compute on the CPU. Default: this project's own, native, where they are installed.",
        ),
    ] = None
    provider_option: Annotated[
        list[str] | None,
        typer.Option(
            "--provider-option",
            metavar="KEY=VALUE",
            show_default=False,
            help="Any other option of the provider, in ONNX Runtime's words; may be repeated.",
        ),
    ] = None

    def choice(self) -> ProviderChoice:
        """
        Raises:
            UsageError: an option given twice, or a value that can't be.
        """
        options = provider_options(self.device, self.memory_limit, self.tf32, self.provider_option, self.kernels)
        return ProviderChoice(self.provider, options)


@dataclass(frozen=True)
class RequiredProviderArguments(ProviderArguments):
    """Where to run, and whether nothing may run elsewhere."""

    require_provider: Annotated[
        bool, typer.Option("--require-provider", help="Fail (exit code 4) if any but small known nodes run on the CPU.")
    ] = False

    def choice(self) -> ProviderChoice:
        return replace(super().choice(), required=self.require_provider)


def provider_options(
    device: int | None, memory_limit: str | None, tf32: bool | None, pairs: list[str] | None, kernels: str | None = None
) -> ProviderOptions:
    """What ``--device``, ``--memory-limit``, ``--tf32``, ``--kernels`` and ``--provider-option`` ask for.

    Raises:
        UsageError: an option given twice, or a value that can't be.
    """
    found: dict[str, object] = dict(parse(pairs or ()))
    for option, key, value in (
        ("--device", "device_id", device),
        ("--memory-limit", "gpu_mem_limit", memory_limit),
        ("--tf32", "use_tf32", tf32),
        ("--kernels", "kernels", kernels),
    ):
        if value is not None and key in found:
            raise UsageError(f"{option} and --provider-option {key}=… are the same", hint="pass one of them")
        if value is not None:
            found[key] = value
    return ProviderOptions.of(found)
