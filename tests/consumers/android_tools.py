"""A folder with what it takes to compile and run the Android core on a Linux machine with Java 17 or newer.

    python -m tests.consumers.android_tools FOLDER
    YOUTU_ONNX_ANDROID_TOOLS=FOLDER python -m pytest tests/consumers/test_android.py

It holds the Kotlin compiler (npm package kotlin-compiler) and, out of an Android archive (onnxruntime.aar, which the npm package
com.github.asus4.onnxruntime carries), ONNX Runtime's classes and its own JNI library for x86-64. The library is made for
Android's C library, whose symbols have other versions; without them and without the names of Android's libraries, Linux's
loader finds all it needs in glibc and in the onnxruntime wheel. Needs npm; downloads 250 MB.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

VARIABLE = "YOUTU_ONNX_ANDROID_TOOLS"
KOTLIN = (
    "kotlin-compiler@2.4.20",
    "package/lib/",
    (
        "kotlin-compiler.jar",
        "kotlin-stdlib.jar",
        "kotlin-script-runtime.jar",
        "kotlin-reflect.jar",
        "kotlin-daemon.jar",
        "kotlinx-coroutines-core-jvm.jar",
        "annotations-13.0.jar",
    ),
)
RUNTIME = ("com.github.asus4.onnxruntime@0.4.9", "package/Plugins/Android/", ("onnxruntime.aar",))
JNI = "libonnxruntime4j_jni.so"

DT_NEEDED, DT_DEBUG, DT_FLAGS, DT_VERSYM, DT_VERNEED, DT_FLAGS_1, DT_VERNEEDNUM = (
    1,
    21,
    30,
    0x6FFFFFF0,
    0x6FFFFFFE,
    0x6FFFFFFB,
    0x6FFFFFFF,
)
PT_NULL, PT_DYNAMIC, PT_GNU_RELRO = 0, 2, 0x6474E552


SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a Java program of some seconds: what it compiles best and collects in parallel is more work than it saves."""


def make(folder: Path) -> None:
    """Fill ``folder``; it is there whole or not at all."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "native").mkdir(parents=True)
    for package, inside, names in (KOTLIN, RUNTIME):
        done = subprocess.run(["npm", "pack", "--silent", package], cwd=partial, check=True, capture_output=True, text=True)
        archive = partial / done.stdout.split()[-1]
        with tarfile.open(archive) as tar:
            for name in names:
                source = tar.extractfile(inside + name)
                assert source is not None
                (partial / name).write_bytes(source.read())
        archive.unlink()
    with zipfile.ZipFile(partial / "onnxruntime.aar") as aar:
        (partial / "classes.jar").write_bytes(aar.read("classes.jar"))
        (partial / "native" / JNI).write_bytes(for_glibc(aar.read(f"jni/x86_64/{JNI}")))
    (partial / "onnxruntime.aar").unlink()
    os.replace(partial, folder)


def for_glibc(library: bytes) -> bytes:
    """An x86-64 library of Android without symbol versions, names of libraries, and the wish to have all symbols at once."""
    made = bytearray(library)
    assert made[:6] == b"\x7fELF\x02\x01", "not a 64-bit little-endian library"
    [headers] = struct.unpack_from("<Q", made, 32)
    size, count = struct.unpack_from("<HH", made, 54)
    for at in range(headers, headers + size * count, size):
        [kind] = struct.unpack_from("<I", made, at)
        if kind == PT_GNU_RELRO:  # symbols are found late, when that region would be read-only
            struct.pack_into("<I", made, at, PT_NULL)
        if kind == PT_DYNAMIC:
            offset, length = struct.unpack_from("<Q", made, at + 8)[0], struct.unpack_from("<Q", made, at + 32)[0]
            for entry in range(offset, offset + length, 16):
                [tag] = struct.unpack_from("<q", made, entry)
                if tag in (DT_NEEDED, DT_FLAGS, DT_FLAGS_1, DT_VERSYM, DT_VERNEED, DT_VERNEEDNUM):
                    struct.pack_into("<q", made, entry, DT_DEBUG)  # which means nothing in a library
    return bytes(made)


def compile_core(tools: Path, sources: list[Path], jar: Path) -> subprocess.CompletedProcess[str]:
    """kotlinc, with every warning an error."""
    compiler = os.pathsep.join(str(tools / name) for name in KOTLIN[2])
    return subprocess.run(
        [
            "java",
            *SHORT_LIVED,
            "-cp",
            compiler,
            "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
            "-no-stdlib",
            "-no-reflect",
            "-Werror",
            "-jvm-target",
            "17",
            "-cp",
            os.pathsep.join(str(tools / name) for name in ("kotlin-stdlib.jar", "classes.jar")),
            "-d",
            jar,
            *sources,
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def java(tools: Path, native: Path, jar: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``jvm/Steps.kt``. ``native``: a folder for links to the libraries, which Java loads from one folder."""
    import onnxruntime

    [library] = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    native.mkdir(exist_ok=True)
    for name, source in ((JNI, tools / "native" / JNI), ("libonnxruntime.so", library)):
        if not (native / name).exists():
            (native / name).symlink_to(source)
    path = os.pathsep.join(map(str, (jar, tools / "kotlin-stdlib.jar", tools / "classes.jar")))
    # the JNI library looks for symbols among those that everybody sees, so ONNX Runtime has to be there first
    command = ["java", *SHORT_LIVED, f"-Donnxruntime.native.path={native}", "-cp", path, "StepsKt", *args]
    environment = {**os.environ, "LD_PRELOAD": str(native / "libonnxruntime.so")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit("usage: python -m tests.consumers.android_tools FOLDER, which must not exist")
    try:
        make(Path(sys.argv[1]).resolve())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{sys.argv[1]} could not be made: {' '.join(error.cmd)} failed: {error.stderr.strip()[-300:]}")
    print(f"{sys.argv[1]}: Kotlin and ONNX Runtime's classes")
