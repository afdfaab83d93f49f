"""A bundle's side of text: what a server needs beside the engine to talk."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from youtu_onnx.chat.model import default_max_tokens, eos_ids
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.serve.text.bundle_facts import BundleFacts
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.json_file import read_json
from youtu_onnx.text.thinking import CLOSE, OPEN


@dataclass(frozen=True)
class ModelText:
    """One model's names, tokenizer, template and defaults.

    Attributes:
        id: what requests call the model.
        template: None for a base model, which continues text and doesn't chat.
        sampling: the defaults of ``generation_config.json``.
        max_tokens: the default length of a reply.
        created: seconds since 1970: when the bundle was written.
        fingerprint: changes with the bundle's contents.
        facts: of the bundle itself.
    """

    id: str
    tokenizer: Tokenizer
    template: ChatTemplate | None
    sampling: Sampling
    max_tokens: int
    eos_ids: frozenset[int]
    created: int = 0
    fingerprint: str = ""
    facts: BundleFacts = field(default_factory=BundleFacts)

    @classmethod
    def open(cls, path: str | Path, *, name: str | None = None, target: str | None = None) -> ModelText:
        """Read what a bundle says of text.

        Args:
            name: what to call the model; None: its checkpoint's name.
            target: which bundle of a folder of several.

        Raises:
            BundleError: no bundle, or a damaged one.
        """
        bundle = Bundle.open(path, target=target)
        tokenizer = Tokenizer.open(bundle.path)
        config = read_json(bundle.file(names.GENERATION_CONFIG))
        facts = BundleFacts.of(bundle)
        return cls(
            id=name or bundle.manifest.source.model,
            tokenizer=tokenizer,
            template=ChatTemplate.open(bundle.path, tokenizer),
            sampling=Sampling.from_generation_config(config),
            max_tokens=default_max_tokens(config),
            eos_ids=frozenset(eos_ids(config, bundle, tokenizer)),
            created=int(bundle.file(names.MANIFEST).stat().st_mtime),
            fingerprint="fp_" + facts.digest[:12],
            facts=facts,
        )

    @property
    def calls_tools(self) -> bool:
        """Whether the tokenizer has tokens around a call, so that a call is told from text about one."""
        return {"<tool_call>", "</tool_call>"} <= self.tokenizer.added.keys()

    @property
    def thinks(self) -> bool:
        return {OPEN, CLOSE} <= self.tokenizer.added.keys()

    @cached_property
    def thinking_switch(self) -> bool:
        """Whether the template heeds ``enable_thinking``."""
        if self.template is None:
            return False
        sole: list[dict[str, Any]] = [{"role": "user", "content": "?"}]
        try:
            return self.template.render(sole, enable_thinking=True) != self.template.render(sole, enable_thinking=False)
        except UsageError:
            return False
