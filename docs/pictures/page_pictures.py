"""Take the pictures of the server's page: ``python -m docs.pictures.page_pictures``.

Every answer in them is what a model said: youtu-nano, exported to int4 and served by ``youtu-onnx serve``, which is greedy and so
says the same each time. With ``--address URL``, the model of a server that runs already. Needs Chromium and Node. Writes
``serve-*.png`` beside this file.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browser import Browser, browser
from tests.consumers.javascript.workshop import furnish

HERE = Path(__file__).parent
LARGEST = 150_000  # bytes of a picture


@dataclass(frozen=True)
class Picture:
    """One picture: the browser's options, what is run on the page (``prepare``) and asked, whether the last thinking is unfolded,
    and what is clicked then.
    ``steps``: of a server that explains its model's steps. ``named``: of another model. Both are taken where they are named."""

    name: str
    options: dict[str, Any]
    asked: tuple[str, ...] = ()
    unfold: bool = False
    then: tuple[str, ...] = field(default=())
    steps: bool = False
    named: bool = False
    prepare: str = ""


WINDOW = {"viewport": {"width": 1200, "height": 760}}
TALL = {"viewport": {"width": 1200, "height": 1060}}
PHONE = {"viewport": {"width": 390, "height": 780}, "deviceScaleFactor": 1.5, "isMobile": True, "hasTouch": True}
PICTURES = (
    Picture(
        "serve-light",
        WINDOW,
        (
            "Leo is faster than Mary. Mary is faster than Amy. Who is the slowest?",
            "There are 3 balls on the table. Amy puts 47 more there. How many balls are on the table?",
        ),
        unfold=True,
    ),
    Picture(
        "serve-dark",
        WINDOW | {"colorScheme": "dark"},
        ("What can you do?", "Sort these numbers: [70, 96, 11, 66].", "What is 477 - 87?"),
        unfold=True,
    ),
    Picture("serve-phone", PHONE, ("Calculate 28 × 5.", 'Convert "lohub" to uppercase.')),
    Picture(
        "serve-chinese",
        WINDOW | {"locale": "zh-CN"},
        ("你会做什么？", "桌上有3个球，小红又放了47个球。桌上一共有多少个球？"),
        unfold=True,
    ),
    Picture(
        "serve-language",
        WINDOW,
        ("What is photosynthesis?", "What is the capital of France?"),
        then=(".assistant:last-child .probabilities summary", ".token >> nth=5"),
        prepare="""import('./static/preferences.js').then(({ prefer, freshSettings }) =>
            prefer('fresh', { ...freshSettings(), probabilities: true }))""",
        named=True,
    ),
    Picture("serve-settings", WINDOW, then=("#settings-open",)),
    Picture("serve-start", WINDOW | {"colorScheme": "dark"}),
    Picture("serve-steps", TALL, ("What is the least common multiple of 10 and 16?",), then=(".steps summary",), steps=True),
)


@contextmanager
def serving_nano(folder: Path) -> Iterator[str]:
    """Address of a server with youtu-nano, int4, exported into ``folder``."""
    program = [sys.executable, "-m", "youtu_onnx.cli"]
    bundle = folder / "youtu-nano"
    subprocess.run([*program, "export", "--model", "youtu-nano", "--output", bundle, "--no-verify"], check=True)
    process = subprocess.Popen([*program, "serve", bundle, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        if not (found := re.search(r"http://\S+?:\d+", said)):
            raise SystemExit(f"the server did not start: {said}{process.stderr.read()}")
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def take(page: Browser, picture: Picture, address: str) -> Path:
    page.open(address, **picture.options)
    page.wait("document.documentElement.dataset.ready")
    if picture.prepare:
        page.js(picture.prepare)
    for count, question in enumerate(picture.asked, 1):
        page.fill("#text", question)
        page.press("Enter")
        page.wait(f"document.querySelectorAll('.assistant .again').length === {count}")
        page.wait("!document.querySelector('.text.plain:not(:empty):not(.thoughts)')")
    if picture.unfold:
        page.click(".assistant:last-child .thinking summary")
    for selector in picture.then:
        page.click(selector)
    if picture.steps:
        page.wait_shown(".gates")
    page.js("document.activeElement.blur()")
    page.mouse("move", 640, 5)  # away from the buttons
    page.page("waitForTimeout", 500)  # animations
    file = HERE / f"{picture.name}.png"
    page.page("screenshot", {"path": str(file)})
    if file.stat().st_size > LARGEST:
        raise SystemExit(f"{file}: {file.stat().st_size} bytes are more than {LARGEST}; take less of the page")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--address", help="of a running server")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "youtu-onnx-npm", help="for what npm installs")
    parser.add_argument("names", nargs="*", help="only these pictures")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        shop = Path(name) / "shop"
        shop.mkdir()
        with (
            nullcontext(arguments.address) if arguments.address else serving_nano(Path(name)) as address,
            browser(furnish(shop, arguments.cache)) as page,
        ):
            for picture in PICTURES:
                if picture.name in arguments.names or not (arguments.names or picture.steps or picture.named):
                    print(take(page, picture, address))


if __name__ == "__main__":
    main()
