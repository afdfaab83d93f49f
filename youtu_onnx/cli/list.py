"""``youtu-onnx list``: what ``run`` keeps."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.table import ago, print_table
from youtu_onnx.core.sizes import decimal
from youtu_onnx.publish.kept import store


def list(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:  # noqa: A001 (its name)
    kept = store.all_kept()
    if as_json:
        described = [
            {
                "name": one.entry.name,
                **one.entry.options,
                "commit": one.entry.commit,
                "bytes": one.size,
                "made": one.entry.made,
                "seconds": one.entry.seconds,
                "used": one.used,
                "bundle": str(one.folder),
            }
            for one in kept
        ]
        console.print_json({"folder": str(store.root()), "bundles": described})
        return
    if not kept:
        console.note(f"nothing is kept in {store.root()}; try: youtu-onnx run youtu-nano")
        return
    now = time.time()
    print_table(
        ("NAME", "STORED AS", "SIZE", "USED", "BUNDLE"),
        [(one.entry.name, _stored(one), decimal(one.size), ago(now - one.used), one.folder.name) for one in kept],
    )
    console.note(f"in {store.root()}: {decimal(sum(one.size for one in kept))} in all")


def _stored(kept: store.Kept) -> str:
    """Precision, and what else is not as usual."""
    options = kept.entry.options
    return ", ".join(filter(None, (kept.entry.precision, options["algorithm"].replace("rtn", ""), options["cache"])))
