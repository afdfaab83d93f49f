"""The Java sample, compiled and run over the classes of ``runtimes/java/binding`` on bundles of youtu-nano."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.consumers import Answers, conversation, questions

JAVA = Path(__file__).parent.parent / "runtimes" / "java"
FOREIGN = ("--add-modules", "jdk.incubator.foreign", "--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED")
QUESTIONS = ("What is 47 + 38?", "<|Assistant|>", "计算 25 + 17。", "/reset", "Say hello.", "What is 477 - 87?")


@cache
def _can_run() -> bool:
    if not (shutil.which("javac") and shutil.which("java")):
        return False
    modules = subprocess.run(["java", "--list-modules"], capture_output=True, text=True).stdout
    return "jdk.incubator.foreign@17" in modules


needs_java = pytest.mark.skipif(not _can_run(), reason="no JDK 17, whose foreign functions the binding uses "
                                                       "(Debian: openjdk-17-jdk-headless)")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run(main, *arguments, input="")`` runs a class; everything is compiled once."""
    classes = tmp_path_factory.mktemp("java")
    files = [str(file) for folder in ("src", "binding") for file in sorted((JAVA / folder).rglob("*.java"))]
    subprocess.run(["javac", "-proc:none", "-d", str(classes), *FOREIGN, *files], check=True, capture_output=True)
    library = next(Path(importlib.util.find_spec("onnxruntime").submodule_search_locations[0]).glob("capi/libonnxruntime.so.*"))

    def run(main: str, *arguments: str | Path, input: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", str(classes), *FOREIGN,
                               "--enable-native-access=ALL-UNNAMED", f"-Donnxruntime.library={library}", f"youtuonnx.{main}",
                               *map(str, arguments)], input=input, capture_output=True, encoding="utf-8", timeout=120)

    return run


@needs_java
def test_vectors_in_float32(run, nano_bundle, tmp_path):
    bundle = nano_bundle("fp32")
    done = run("Vectors", questions(bundle, tmp_path / "asked.json"), bundle)
    assert done.returncode == 0, done.stderr
    answers = Answers.parse(done.stdout)
    answers.check_text()
    answers.check_tokens(bundle)
    answers.check_logits(bundle, "fp32")


@needs_java
@pytest.mark.parametrize(("precision", "form"), [("fp16", "latent"), ("int4", "latent"), ("int4", "latent-int8")])
def test_logits_of_rounded_weights_and_caches(precision, form, run, nano_bundle, tmp_path):
    bundle = nano_bundle(precision, form)
    done = run("Vectors", questions(bundle, tmp_path / "asked.json"), bundle, "logits")
    assert done.returncode == 0, done.stderr
    Answers.parse(done.stdout).check_logits(bundle, precision)


@needs_java
def test_a_cache_that_can_not_be_written_in_place(run, nano_bundle, tmp_path):
    bundle = nano_bundle("fp32", "expanded")
    done = run("Vectors", questions(bundle, tmp_path / "asked.json"), bundle)
    assert done.returncode == 0, done.stderr
    answers = Answers.parse(done.stdout)
    answers.check_tokens(bundle)
    answers.check_logits(bundle, "fp32")


@needs_java
@pytest.mark.parametrize("max_tokens", [5, 64])
def test_the_program_chats(max_tokens, run, nano_bundle):
    bundle = nano_bundle("fp32")
    done = run("Main", bundle, "--max-tokens", str(max_tokens), input="\n".join(QUESTIONS) + "\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == conversation(bundle, QUESTIONS, max_tokens)


@needs_java
def test_the_program_says_what_is_wrong(run, nano_bundle, tmp_path):
    wrong_call = run("Main", tmp_path, "--what")
    assert wrong_call.returncode == 2
    assert "--what is not understood\nusage: " in wrong_call.stderr
    nothing_there = run("Main", tmp_path / "nothing")
    assert nothing_there.returncode == 1
    assert "error: " in nothing_there.stderr
    assert "nothing" in nothing_there.stderr
    too_long = run("Main", nano_bundle("fp32"), input="1 " * 1024 + "\n")
    assert too_long.returncode == 1
    assert "1024" in too_long.stderr.splitlines()[-1]


def test_the_project_names_a_library():
    space = "{http://maven.apache.org/POM/4.0.0}"
    project = ElementTree.parse(JAVA / "pom.xml").getroot()
    properties = {one.tag.removeprefix(space): one.text for one in project.find(f"{space}properties")}
    assert (JAVA / "src/main/java" / f"{properties['exec.mainClass'].replace('.', '/')}.java").is_file()
    dependency = project.find(f"{space}dependencies/{space}dependency/{space}artifactId").text
    assert dependency == "${ort.artifact}" and properties["ort.artifact"] == "onnxruntime"
