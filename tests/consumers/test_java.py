"""The Java sample, compiled and run over the classes of ``runtimes/consumers/java/binding`` on bundles of youtu-nano."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from tests.consumer_bundles import CACHES, check_chat, check_commands, check_formats, check_logits, check_too_long, check_vectors
from tests.consumers.android_tools import SHORT_LIVED

JAVA = Path(__file__).parents[2] / "runtimes" / "consumers" / "java"
FOREIGN = ("--add-modules", "jdk.incubator.foreign", "--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED")


@cache
def _can_run() -> bool:
    if not (shutil.which("javac") and shutil.which("java")):
        return False
    modules = subprocess.run(["java", "--list-modules"], capture_output=True, text=True).stdout
    return "jdk.incubator.foreign@17" in modules


needs_java = pytest.mark.skipif(
    not _can_run(), reason="no JDK 17, whose foreign functions the binding uses (Debian: openjdk-17-jdk-headless)"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run(main, *arguments, input="")`` runs a class; everything is compiled once."""
    classes = tmp_path_factory.mktemp("java")
    files = [str(file) for folder in ("src", "binding") for file in sorted((JAVA / folder).rglob("*.java"))]
    compiler = ["javac", *(f"-J{option}" for option in SHORT_LIVED), "-proc:none"]
    subprocess.run([*compiler, "-d", str(classes), *FOREIGN, *files], check=True, capture_output=True)
    library = next(Path(importlib.util.find_spec("onnxruntime").submodule_search_locations[0]).glob("capi/libonnxruntime.so.*"))

    def run(main: str, *arguments: str | Path, input: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "java",
                "-Xshare:auto",
                *SHORT_LIVED,
                "-cp",
                str(classes),
                *FOREIGN,
                "--enable-native-access=ALL-UNNAMED",
                f"-Donnxruntime.library={library}",
                f"youtuonnx.{main}",
                *map(str, arguments),
            ],
            input=input,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )

    return run


@needs_java
@pytest.mark.parametrize("cache", CACHES)
def test_vectors_in_float32(cache, run, nano_bundle, tmp_path):
    check_vectors(partial(run, "Vectors"), nano_bundle("fp32", **CACHES[cache]), tmp_path)


@needs_java
@pytest.mark.parametrize(
    ("precision", "options"), [("fp16", {}), ("int4", {}), ("int4", {"cache": "latent-int8"}), ("fp16", CACHES["reserved"])]
)
def test_logits_of_rounded_weights_and_caches(precision, options, run, nano_bundle, tmp_path):
    check_logits(partial(run, "Vectors"), nano_bundle(precision, **options), precision, tmp_path)


@needs_java
@pytest.mark.parametrize("max_tokens", [5, 64])
def test_the_program_chats(max_tokens, run, nano_bundle):
    check_chat(partial(run, "Main"), nano_bundle("fp32"), max_tokens)


@needs_java
def test_the_commands_are_those_of_the_command_line(run, nano_bundle, tmp_path):
    check_commands(partial(run, "Main"), nano_bundle("fp32"), tmp_path)


@needs_java
def test_manifests_of_both_formats(run, nano_bundle, tmp_path):
    check_formats(partial(run, "Main"), nano_bundle("fp32"), tmp_path)


@needs_java
def test_microreason(run, reasoner, tmp_path):
    reasoner.check_program(partial(run, "Vectors"), "routed", tmp_path)


@needs_java
def test_the_program_says_what_is_wrong(run, nano_bundle, tmp_path):
    wrong_call = run("Main", tmp_path, "--what")
    assert wrong_call.returncode == 2
    assert "--what is not understood\nusage: " in wrong_call.stderr
    nothing_there = run("Main", tmp_path / "nothing")
    assert nothing_there.returncode == 1
    assert "error: " in nothing_there.stderr
    assert "nothing" in nothing_there.stderr


@needs_java
def test_the_program_says_that_a_prompt_is_too_long(run, nano_bundle):
    check_too_long(partial(run, "Main"), nano_bundle("fp32"), 1024)
    check_too_long(partial(run, "Main"), nano_bundle("fp32", **CACHES["reserved"]), 256, "--max-length")


def test_the_project_names_a_library():
    space = "{http://maven.apache.org/POM/4.0.0}"
    project = ElementTree.parse(JAVA / "pom.xml").getroot()
    properties = {one.tag.removeprefix(space): one.text for one in project.find(f"{space}properties")}
    assert (JAVA / "src/main/java" / f"{properties['exec.mainClass'].replace('.', '/')}.java").is_file()
    dependency = project.find(f"{space}dependencies/{space}dependency/{space}artifactId").text
    assert dependency == "${ort.artifact}" and properties["ort.artifact"] == "onnxruntime"
