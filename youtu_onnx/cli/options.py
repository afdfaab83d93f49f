"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.core.errors import UsageError

if TYPE_CHECKING:
    from youtu_onnx.chat.prompt_lookup import PromptLookup
    from youtu_onnx.runtimes.providers.options import ProviderOptions

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that youtu-onnx export wrote.")]
Provider = Annotated[
    str | None, typer.Option(help="Where to run: cpu, cuda, dml, webgpu, … Default: what the bundle was exported for.")
]
Device = Annotated[int | None, typer.Option(metavar="N", help="Which GPU, from 0 (cuda, dml).", show_default=False)]
MemoryLimit = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Most memory that the provider's arena takes, as 6GiB (cuda).", show_default=False),
]
Tf32 = Annotated[
    bool | None,
    typer.Option(
        "--tf32/--no-tf32", help="Let float32 products round to TF32 (cuda). Default: ONNX Runtime's, which does; verify doesn't."
    ),
]
ProviderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--provider-option",
        metavar="KEY=VALUE",
        show_default=False,
        help="Any other option of the provider, in ONNX Runtime's words; may be repeated.",
    ),
]
RequireProvider = Annotated[
    bool, typer.Option("--require-provider", help="Fail (exit code 4) if any but small known nodes run on the CPU.")
]
Runtime = Annotated[str, typer.Option(help="ort (ONNX Runtime) or genai (onnxruntime-genai).")]
Threads = Annotated[int | None, typer.Option(help="Threads on the CPU. Default: one per physical core.")]
MaxTokens = Annotated[int | None, typer.Option(help="Longest reply in tokens. Default: the model's own.")]
Temperature = Annotated[float | None, typer.Option(help="Sampling temperature; 0 is greedy.")]
TopK = Annotated[int | None, typer.Option(help="Sample among the k likeliest tokens; 0: all.")]
TopP = Annotated[float | None, typer.Option(help="Sample among the fewest tokens that have this probability together.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the random numbers: same seed, same reply.")]
Greedy = Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")]
System = Annotated[str | None, typer.Option(help="A system message that opens the conversation.")]
Thinking = Annotated[
    bool | None,
    typer.Option(
        "--thinking/--no-thinking", help="Ask the model to think first, or not to. Default: the chat template's choice."
    ),
]
PromptLookupFlag = Annotated[
    bool,
    typer.Option(
        "--prompt-lookup/--no-prompt-lookup",
        help="Guess tokens from the text so far and try several in a step: faster where replies quote or repeat, same replies.",
    ),
]
DraftTokens = Annotated[
    int | None,
    typer.Option(help="With --prompt-lookup: the most tokens guessed at a time, 1 to 64. Default: 16.", show_default=False),
]


def prompt_lookup(wanted: bool, draft_tokens: int | None) -> PromptLookup | bool:
    """What ``--prompt-lookup`` and ``--draft-tokens`` ask for.

    Raises:
        UsageError: a number that can't be, or one that nothing would use.
    """
    from youtu_onnx.chat.prompt_lookup import PromptLookup

    if draft_tokens is None:
        return wanted
    if not wanted:
        raise UsageError("--draft-tokens has no use without prompt lookup", hint="add --prompt-lookup, or drop --draft-tokens")
    return PromptLookup(draft_tokens)


def provider_options(device: int | None, memory_limit: str | None, tf32: bool | None, pairs: list[str] | None) -> ProviderOptions:
    """What ``--device``, ``--memory-limit``, ``--tf32`` and ``--provider-option`` ask for.

    Raises:
        UsageError: an option given twice, or a value that can't be.
    """
    from youtu_onnx.runtimes.providers.options import ProviderOptions, parse

    found: dict[str, object] = dict(parse(pairs or ()))
    for option, key, value in (
        ("--device", "device_id", device),
        ("--memory-limit", "gpu_mem_limit", memory_limit),
        ("--tf32", "use_tf32", tf32),
    ):
        if value is not None and key in found:
            raise UsageError(f"{option} and --provider-option {key}=… are the same", hint="pass one of them")
        if value is not None:
            found[key] = value
    return ProviderOptions.of(found)
