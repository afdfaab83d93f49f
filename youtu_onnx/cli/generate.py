"""``youtu-onnx generate``: one reply to one prompt."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from youtu_onnx.cli import console, options
from youtu_onnx.core.errors import UsageError

if TYPE_CHECKING:
    from youtu_onnx.runtimes.decoder import Decoder


def generate(
    bundle: options.BundleFolder,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to say to the model; - reads it from stdin.")],
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    greedy: options.Greedy = False,
    thinking: options.Thinking = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as plain text, without the chat template.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when the reply is complete.")] = False,
    provider: options.Provider = None,
    device: options.Device = None,
    memory_limit: options.MemoryLimit = None,
    tf32: options.Tf32 = None,
    provider_option: options.ProviderOption = None,
    require_provider: options.RequireProvider = False,
    runtime: options.Runtime = "ort",
    threads: options.Threads = None,
    prompt_lookup: options.PromptLookupFlag = False,
    draft_tokens: options.DraftTokens = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr where the model's nodes run.")] = False,
) -> None:
    """Reply to a prompt, streamed to stdout."""
    from youtu_onnx.chat.model import load
    from youtu_onnx.chat.sampling import Sampling

    if raw and system is not None:
        raise UsageError("--system acts through the chat template, which --raw leaves out", hint="drop one of the two")
    # Before the model is loaded, which may take a while
    Sampling().override(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, greedy=greedy or None)
    chosen = options.provider_options(device, memory_limit, tf32, provider_option)
    lookup = options.prompt_lookup(prompt_lookup, draft_tokens)
    text = _stdin_text() if prompt == "-" else prompt
    if not (text if raw else text.strip()):
        raise UsageError("the prompt is empty", hint="pass some text with --prompt")
    messages = [{"role": "user", "content": text}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    with load(
        bundle,
        provider=provider,
        runtime=runtime,
        threads=threads,
        prompt_lookup=lookup,
        provider_options=chosen,
        require_provider=require_provider,
    ) as model:
        if verbose:
            _print_placement(model.decoder)
        reply = model.stream(
            text if raw else messages,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            greedy=greedy or None,
            raw=raw,
            enable_thinking=thinking,
        )
        if as_json:
            print(json.dumps(reply.result.to_dict(), ensure_ascii=not console.stdout_is_utf8()))
            return
        on_terminal = sys.stdout.isatty()
        for piece in reply:
            print(console.printable(piece) if on_terminal else piece, end="", flush=True)
        print(flush=True)


def _print_placement(decoder: Decoder) -> None:
    from youtu_onnx.runtimes.ort.decoder import OrtDecoder

    if not isinstance(decoder, OrtDecoder):
        raise UsageError("the genai runtime does not tell where nodes run", hint="drop --verbose, or use --runtime ort")
    placement = decoder.model.placement
    console.note(f"nodes: {placement.summary()}")
    for stray in placement.unexpected:
        console.note(f"not on {placement.provider}: {stray}")


def _stdin_text() -> str:
    """All of stdin as UTF-8, less the newline that ends its last line."""
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    return text.removesuffix("\n").removesuffix("\r")
