"""Take the pictures of the server's page: ``python -m docs.pictures.page_pictures [--address URL]``.

With an address, the pictures show what the model there answers; without, a server with scripted answers is started.
Needs Chromium and Node. Writes ``serve-*.png`` beside this file.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.browser import Browser, browser
from tests.consumers.javascript.workshop import furnish
from tests.serve.page.page_server import Reply, serving

HERE = Path(__file__).parent
LARGEST = 150_000  # bytes of a picture
PRIME = '''Check divisors up to the square root, since $n = a \\cdot b$ with $a \\le b$ means $a \\le \\sqrt{n}$:

```python
from math import isqrt

def is_prime(n: int) -> bool:
    """Trial division in O(√n)."""
    if n < 2:
        return False
    return all(n % d for d in range(2, isqrt(n) + 1))

assert [n for n in range(20) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19]
```

How many primes to expect below $x$:

$$\\pi(x) \\approx \\int_2^x \\frac{dt}{\\ln t}$$
'''
ROOT = "A number that isn't prime has a divisor of at most its square root.\n\nSo it is enough to try those."
JOURNEY = """The journey takes **3 hours and 25 minutes**.

1. From 9:40 to 12:40: 3 hours
2. From 12:40 to 13:05: 25 minutes
"""
SKY = """阳光进入大气层后，会被空气分子散射，波长越短散射越强，其强度与 $\\lambda^{-4}$ 成正比。

| 颜色 | 波长 | 相对散射 |
|---|---:|---:|
| 红 | 700 nm | 1.0 |
| 绿 | 550 nm | 2.6 |
| 蓝 | 450 nm | 5.9 |

因此，散射到我们眼中的光以**蓝色**为主。
"""


@dataclass(frozen=True)
class Picture:
    """One picture: the browser's options, what is asked, and the scripted answers."""

    name: str
    options: dict[str, Any]
    asked: tuple[str, ...] = ()
    replies: tuple[Reply, ...] = ()
    unfold: bool = False
    then: tuple[str, ...] = field(default=())


PHONE = {"viewport": {"width": 390, "height": 780}, "deviceScaleFactor": 1.5, "isMobile": True, "hasTouch": True}
PICTURES = (
    Picture(
        "serve-light",
        {"viewport": {"width": 1200, "height": 760}},
        ("How many minutes does a train need that leaves at 9:40 and arrives at 13:05?",),
        (Reply(JOURNEY, "13:05 minus 9:40.", pause=0.03),),
    ),
    Picture(
        "serve-dark",
        {"viewport": {"width": 1200, "height": 980}, "colorScheme": "dark"},
        ("Write a Python function that says whether a number is prime.",),
        (Reply(PRIME, ROOT, pause=0.02),),
        unfold=True,
    ),
    Picture(
        "serve-phone",
        PHONE,
        ("Is 97 a prime number?",),
        (
            Reply(
                "Yes. None of 2, 3, 5 and 7 divides it, and the next prime, 11, is larger than $\\sqrt{97} \\approx 9.8$.",
                "Try 2, 3, 5, 7.",
                pause=0.03,
            ),
        ),
    ),
    Picture(
        "serve-chinese",
        {"viewport": {"width": 1200, "height": 760}, "locale": "zh-CN"},
        ("天空为什么是蓝色的？",),
        (Reply(SKY, "瑞利散射。", pause=0.02),),
    ),
    Picture("serve-settings", {"viewport": {"width": 1200, "height": 760}}, then=("#settings-open",)),
    Picture("serve-start", {"viewport": {"width": 1200, "height": 760}, "colorScheme": "dark"}),
)


def take(page: Browser, picture: Picture, address: str) -> Path:
    page.open(address, **picture.options)
    page.wait("document.documentElement.dataset.ready")
    for count, question in enumerate(picture.asked, 1):
        page.fill("#text", question)
        page.press("Enter")
        page.wait(f"document.querySelectorAll('.assistant .again').length === {count}")
        page.wait("!document.querySelector('.text.plain:not(:empty):not(.thoughts)')")
    if picture.unfold:
        page.click(".thinking summary")
    for selector in picture.then:
        page.click(selector)
    page.js("document.activeElement.blur()")
    page.mouse("move", 640, 5)  # away from the buttons
    page.page("waitForTimeout", 500)  # animations
    file = HERE / f"{picture.name}.png"
    page.page("screenshot", {"path": str(file)})
    if file.stat().st_size > LARGEST:
        raise SystemExit(f"{file}: {file.stat().st_size} bytes are more than {LARGEST}; take less of the page")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", help="of a running server")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "youtu-onnx-npm", help="for what npm installs")
    parser.add_argument("names", nargs="*", help="only these pictures")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        nullcontext() if arguments.address else serving() as server,
        browser(furnish(Path(folder), arguments.cache)) as page,
    ):
        for picture in PICTURES:
            if arguments.names and picture.name not in arguments.names:
                continue
            if server:
                server.state.script.extend(picture.replies)
            print(take(page, picture, arguments.address or server.address))


if __name__ == "__main__":
    main()
