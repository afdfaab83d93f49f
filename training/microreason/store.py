"""The folder of a run: its state, written atomically, its log, and the switch that pauses it."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

DEFAULT = Path.home() / ".cache" / "youtu-onnx" / "microreason"
PAUSE = "PAUSE"


class Store:
    """`state.pt`, `log.jsonl`, and `PAUSE` in one folder. A reader never meets half a file."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def state(self) -> Path:
        return self.folder / "state.pt"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    def save(self, state: dict[str, Any]) -> None:
        scratch = self.folder / "state.part"
        with scratch.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, self.state)

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none. Log lines of steps after it are dropped: they will come again."""
        if not self.state.exists():
            return None
        state: dict[str, Any] = torch.load(self.state, weights_only=True, map_location="cpu")
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True) if self.log.exists() else []
        scratch = self.folder / "log.part"
        scratch.write_text("".join(line for line in lines if json.loads(line)["step"] <= state["step"]), encoding="utf-8")
        os.replace(scratch, self.log)
        return state

    def beginning(self, model: Path) -> Path:
        """A copy of the model that this run began with, made once: another stage may write over the original."""
        kept, scratch = self.folder / "beginning", self.folder / "beginning.part"
        if not kept.exists():
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.copytree(model, scratch)
            os.replace(scratch, kept)
        return kept

    def write(self, record: dict[str, Any]) -> None:
        """One line of the log, which is also printed."""
        line = json.dumps(record, ensure_ascii=False)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    @property
    def paused(self) -> bool:
        return (self.folder / PAUSE).exists()

    def wait(self) -> None:
        """Sleeps, without using the processor, until the file `PAUSE` is gone."""
        while self.paused:
            time.sleep(2)
