"""What the clients send: made by running them, kept in a file for tests that run without them.

    python -m tests.serve.http.clients.recording FOLDER

``FOLDER`` is the one that installing.py makes. No header with an address or a key is kept, and calls have numbers for ids, so
that the same clients give the same file.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.serve.http.clients import programs
from tests.serve.http.serving import OneAtATime, listening
from youtu_onnx.serve.http.application import application
from youtu_onnx.serve.text.model_text import ModelText

FILE = Path(__file__).parents[1] / "recordings" / "clients.json"
LEFT_OUT = ("host", "authorization", "content-length", "connection", "traceparent")


@dataclass(frozen=True)
class Recorded:
    """One request. ``client``: the program that sent it; ``body``: its JSON, or None."""

    client: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any


def recordings() -> list[Recorded]:
    """Those of the file."""
    return [Recorded(**one) for one in json.loads(FILE.read_text(encoding="utf-8"))]


class Recorder:
    """ASGI middleware that keeps requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.client = ""
        self.kept: list[Recorded] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""

        async def receiving() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        await self._app(scope, receiving, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name.decode() not in LEFT_OUT}
        self.kept.append(Recorded(self.client, scope["method"], scope["path"], headers, json.loads(body) if body else None))


def numbered(kept: list[Recorded]) -> list[dict[str, Any]]:
    """With numbers for the ids of calls, and each of equal requests once."""
    text = json.dumps([asdict(one) for one in kept])
    ids = list(dict.fromkeys(re.findall(r"call_[0-9a-f]{24}", text)))
    for number, id_ in enumerate(ids, 1):
        text = text.replace(id_, f"call_{number}")
    different: dict[str, dict[str, Any]] = {}
    for one in json.loads(text):
        different.setdefault(json.dumps([one["method"], one["path"], one["body"]]), one)
    return list(different.values())


def main(clients: Path) -> None:
    from youtu_onnx import export

    with tempfile.TemporaryDirectory() as folder:
        export(model="youtu-nano", output=f"{folder}/nano", verify=False)
        engine = OneAtATime(Path(folder) / "nano")
        recorder = Recorder(application(engine, text=ModelText.open(f"{folder}/nano", name="youtu-nano")))
        with listening(recorder) as url:
            for name in programs.PROGRAMS:
                recorder.client = name
                programs.run(name, url, clients)
        engine.close()
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in numbered(recorder.kept))
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
