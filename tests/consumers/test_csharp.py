"""The C# samples, compiled and run by mono over the classes of ``runtimes/consumers/csharp/mono`` on bundles of youtu-nano."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.consumer_bundles import (
    CACHES,
    check_chat,
    check_commands,
    check_formats,
    check_logits,
    check_too_long,
    check_vectors,
    in_format_1,
)
from tests.consumers.test_vectors import VECTORS
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.native import library, named

CSHARP = Path(__file__).parents[2] / "runtimes" / "consumers" / "csharp"
PROJECTS = {"onnxruntime": CSHARP / "onnxruntime" / "youtu-ort.csproj", "genai": CSHARP / "genai" / "youtu-genai.csproj"}
BINDINGS = {"onnxruntime": ("OnnxRuntime.cs", "OrtApi.cs", "Utf8.cs"), "genai": ("Genai.cs", "Utf8.cs")}
MAINS = {"onnxruntime": "YoutuOnnx.Ort.Program", "genai": "YoutuOnnx.Genai.Program"}
VECTORS_MAIN = "YoutuOnnx.Mono.Vectors"

needs_mono = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="mono isn't installed (Debian: mono-mcs, mono-runtime)"
)
needs_genai = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime_genai") is None, reason="onnxruntime-genai isn't installed"
)
both = pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("genai", marks=needs_genai)])


def sources(runtime: str) -> list[Path]:
    """What the SDK would compile: the project's folder, and what the project names."""
    project = ElementTree.parse(PROJECTS[runtime]).getroot()
    named = [one.attrib["Include"] for one in project.iter("Compile")]
    return [
        *sorted(PROJECTS[runtime].parent.glob("*.cs")),
        *(file for glob in named for file in sorted(PROJECTS[runtime].parent.joinpath(glob).parent.glob(Path(glob).name))),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run(runtime, main, *arguments, input="")`` runs a class's Main; everything is compiled once."""
    folder = tmp_path_factory.mktemp("csharp")
    native = folder / "native"  # not beside the programs, where mono looks too
    native.mkdir()
    for module, names in {"onnxruntime": "capi/libonnxruntime.so.*", "onnxruntime_genai": "libonnxruntime-genai.so"}.items():
        found = importlib.util.find_spec(module)
        for file in Path(found.submodule_search_locations[0]).glob(names) if found else ():
            (native / (file.name.split(".so")[0] + ".so")).symlink_to(file)

    def compiled(runtime: str, main: str) -> Path:
        program = folder / f"{runtime}-{main}.exe"
        if not program.exists():
            subprocess.run(
                [
                    "mcs",
                    "-unsafe",
                    "-warnaserror",
                    f"-out:{program}",
                    f"-main:{main}",
                    *(["-define:GENAI"] if runtime == "genai" else []),
                    *map(str, sources(runtime)),
                    *(str(CSHARP / "mono" / name) for name in (*BINDINGS[runtime], "Vectors.cs")),
                ],
                check=True,
            )
        return program

    def run(
        runtime: str, main: str, *arguments: str | Path, input: str = "", libraries: Path = native
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["mono", str(compiled(runtime, main)), *map(str, arguments)],
            input=input,
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"LD_LIBRARY_PATH": str(libraries)},
            timeout=120,
        )

    return run


@needs_mono
@pytest.mark.parametrize(
    ("runtime", "cache"),
    [
        *(("onnxruntime", cache) for cache in CACHES),
        *(pytest.param("genai", cache, marks=needs_genai) for cache in ("growing", "reserved")),
    ],
)
def test_vectors_in_float32(runtime, cache, run, nano_bundle, tmp_path):
    check_vectors(partial(run, runtime, VECTORS_MAIN), nano_bundle("fp32", **CACHES[cache]), tmp_path)


@needs_mono
@pytest.mark.parametrize(
    ("runtime", "precision", "options"),
    [
        ("onnxruntime", "fp16", {}),
        ("onnxruntime", "int4", {}),
        ("onnxruntime", "int4", {"cache": "latent-int8"}),
        ("onnxruntime", "fp16", CACHES["reserved"]),
        pytest.param("genai", "int4", {}, marks=needs_genai),
        pytest.param("genai", "int4", {"cache": "latent-int8"}, marks=needs_genai),
    ],
)
def test_logits_of_rounded_weights_and_caches(runtime, precision, options, run, nano_bundle, tmp_path):
    check_logits(partial(run, runtime, VECTORS_MAIN), nano_bundle(precision, **options), precision, tmp_path)


@needs_mono
@pytest.mark.skipif(library.found() is None, reason="the native kernels aren't installed, or know nothing of this processor")
def test_native_kernels(run, nano_bundle, tmp_path, monkeypatch):
    """The library by its path, and a graph that names its operators: they say what this project's own runtime says with them."""
    bundle, kernels = Path(shutil.copytree(nano_bundle("int4"), tmp_path / "bundle")), library.found().path
    chat = partial(run, "onnxruntime", MAINS["onnxruntime"])
    early = chat(bundle, "--kernels", kernels)
    assert (early.returncode, early.stderr.count("\n")) == (1, 1) and "youtu-onnx prepare BUNDLE --native" in early.stderr
    monkeypatch.setenv(library.VARIABLE, "native")
    assert named.write(Bundle.open(bundle)).operators["LatentAttention"]
    check_logits(lambda *words: run("onnxruntime", VECTORS_MAIN, *words, kernels), bundle, "int4", tmp_path)
    check_chat(lambda *words, **given: chat(*words, "--kernels", kernels, **given), bundle, 64)
    for words, said in {
        ("cuda", kernels): "native kernels are for the CPU",
        ("cpu", tmp_path / "nothing.so"): "nothing.so",
    }.items():
        wrong = chat(bundle, "--provider", words[0], "--kernels", words[1])
        assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1) and said in wrong.stderr


@needs_mono
@both
@pytest.mark.parametrize("max_tokens", [5, 64])
def test_the_program_chats(runtime, max_tokens, run, nano_bundle):
    check_chat(partial(run, runtime, MAINS[runtime]), nano_bundle("fp32"), max_tokens)


@needs_mono
def test_the_commands_are_those_of_the_command_line(run, nano_bundle, tmp_path):
    check_commands(partial(run, "onnxruntime", MAINS["onnxruntime"]), nano_bundle("fp32"), tmp_path)


@needs_mono
def test_manifests_of_both_formats(run, nano_bundle, tmp_path):
    check_formats(partial(run, "onnxruntime", MAINS["onnxruntime"]), nano_bundle("fp32"), tmp_path)


@needs_mono
@pytest.mark.parametrize(("runtime", "cache"), [("onnxruntime", "routed"), pytest.param("genai", "masked", marks=needs_genai)])
def test_microreason(runtime, cache, run, reasoner, tmp_path):
    reasoner.check_program(partial(run, runtime, VECTORS_MAIN), cache, tmp_path)


@needs_mono
@needs_genai
def test_genai_says_that_it_cannot_hold_a_cache_that_rows_leave(run, reasoner):
    done = run("genai", MAINS["genai"], reasoner.bundle("routed"))
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "--cache latent, or masked" in done.stderr


@needs_mono
@needs_genai
def test_genai_in_format_1(run, nano_bundle, tmp_path):
    """By the manifest it is known whether a sequence can be continued: DirectML's begins anew with each message."""
    for target in ("mobile", "dml"):
        bundle = in_format_1(nano_bundle("fp32"), tmp_path / target, target=target)
        check_chat(partial(run, "genai", MAINS["genai"]), bundle, 5)


@needs_mono
@both
def test_the_program_says_what_is_wrong(runtime, run, nano_bundle, tmp_path):
    wrong_call = run(runtime, MAINS[runtime], tmp_path, "--max-tokens", "none")
    assert wrong_call.returncode == 2
    assert "--max-tokens none is not understood\nusage: " in wrong_call.stderr
    nothing_there = run(runtime, MAINS[runtime], tmp_path / "nothing")
    assert (nothing_there.returncode, nothing_there.stderr.splitlines()[0][:7]) == (1, "error: ")
    assert "nothing" in nothing_there.stderr
    no_library = run(runtime, MAINS[runtime], nano_bundle("fp32"), libraries=tmp_path)
    assert (no_library.returncode, no_library.stderr.count("\n")) == (1, 1)
    assert no_library.stderr.startswith("error: ") and "onnxruntime" in no_library.stderr


@needs_mono
@both
def test_the_program_says_that_a_prompt_is_too_long(runtime, run, nano_bundle):
    check_too_long(partial(run, runtime, MAINS[runtime]), nano_bundle("fp32"), 1024)
    check_too_long(
        partial(run, runtime, MAINS[runtime]),
        nano_bundle("fp32", **CACHES["reserved"]),
        256,
        *(["--max-length"] if runtime == "onnxruntime" else []),
    )


@needs_genai
def test_what_the_samples_say_of_genais_own_text_is_still_so(nano_bundle):
    """When this fails, onnxruntime-genai has mended something: tell docs/deploy/csharp.md and GenaiChat.cs."""
    import onnxruntime_genai as og

    model = og.Model(str(nano_bundle("fp32")))
    tokenizer = og.Tokenizer(model)

    def ids(text: str) -> list[int] | None:
        try:
            return [int(id_) for id_ in tokenizer.encode(text)]
        except RuntimeError:
            return None

    differ = [one["text"][:7] for one in VECTORS["texts"] if ids(one["text"]) != one["ids"]]
    assert differ == ["emoji 😀", "control", "café ca"]
    assert ids("<|Assistant|>") == [3]  # a control token, out of a user's text
    for one in VECTORS["texts"]:
        stream = tokenizer.create_stream()
        if "\x00" not in one["text"]:
            assert "".join(map(stream.decode, np.array(one["ids"], np.int32))) == one["text"]
    prompts = [
        tokenizer.apply_chat_template(
            json.dumps(one["messages"]),
            tools=json.dumps(one["options"].get("tools", "")),
            add_generation_prompt=one["options"].get("add_generation_prompt", True),
        )
        for one in VECTORS["chats"]
    ]
    differ = [index for index, one in enumerate(VECTORS["chats"]) if prompts[index] != one["prompt"]]
    assert differ == [1, 4]  # enable_thinking, which it can't be told; thinking inside an assistant's content


@pytest.mark.parametrize("runtime", PROJECTS)
def test_each_flavour_of_a_project_has_one_package(runtime):
    project = ElementTree.parse(PROJECTS[runtime]).getroot()
    packages = [(one.attrib["Include"], one.attrib["Condition"]) for one in project.iter("PackageReference")]
    prefix = {"onnxruntime": "Microsoft.ML.OnnxRuntime", "genai": "Microsoft.ML.OnnxRuntimeGenAI"}[runtime]
    for name, condition in packages:
        flavour = name.removeprefix(prefix).removeprefix(".") or "Cpu"
        assert condition == f"'$(Flavour)' == '{flavour}'"
        assert f"'$(Flavour)' != '{flavour}'" in project.find("Target/Error").attrib["Condition"]
