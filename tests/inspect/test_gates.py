"""``youtu-onnx inspect`` on a MicroReason: how far shut tokens are seen, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.explain.conftest import Bundles, bundles, checkpoint  # noqa: F401 (fixtures)
from tests.families.microreason.tiny import WINDOW
from youtu_onnx.inspect.description import facts
from youtu_onnx.inspect.inspection import Inspection, inspect_bundle


def said(found: Inspection) -> str:
    return "\n".join(line for _, line in facts(found))


def test_what_a_window_does_and_which_share_is_kept(bundles: Bundles) -> None:  # noqa: F811
    found = inspect_bundle(bundles("routed"))
    assert found.window == WINDOW == found.to_dict()["cache"]["attention_window"]
    assert f"a token whose gate is shut is dropped when it is {WINDOW} tokens back" in said(found)
    assert "rows kept" not in said(found), "it wasn't verified"
    verified = replace(found, manifest=replace(found.manifest, verification={"rows_kept": [0.5, 0.1, 0.3]}))
    assert "30% of all rows kept at verification" in said(verified) and "by layer: 50%, 10%, 30%" in said(verified)
    assert "is hidden when it is" in said(inspect_bundle(bundles("masked")))


def test_a_model_without_gates_says_nothing_of_them(nano_bundle: Callable[..., Path]) -> None:
    found = inspect_bundle(nano_bundle())
    assert found.window is None and found.to_dict()["cache"]["attention_window"] is None and "gate is shut" not in said(found)
