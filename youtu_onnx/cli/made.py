"""From the name of a model to a bundle to open: it is there, or is made, told about and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import typer

from youtu_onnx.cli import console
from youtu_onnx.cli.options import Offline, Revision
from youtu_onnx.cli.progress import progress
from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.recipe import Algorithm, Precision
from youtu_onnx.publish.kept.making import Made, kept_bundle
from youtu_onnx.publish.kept.origin import Origin
from youtu_onnx.publish.options import ExportOptions


@dataclass(frozen=True)
class MakingArguments:
    """How a bundle is made the first time. None of it says anything about a bundle that is there."""

    precision: Annotated[
        str | None, typer.Option("--precision", "-p", help="int4, int8, fp16 or fp32. Default: int4.", show_default=False)
    ] = None
    algorithm: Annotated[
        str | None,
        typer.Option(
            help="How codes are chosen: rtn, or slower and closer: gptq, awq, gptq+awq. Default: rtn.", show_default=False
        ),
    ] = None
    cache: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="Of the cache, as export has them. Default: the model's.", show_default=False),
    ] = None
    update: Annotated[
        bool, typer.Option("--update", help="Ask the hub for a newer commit, and make the bundle again if there is one.")
    ] = False
    revision: Revision = None
    offline: Offline = False

    def options(self) -> ExportOptions:
        return ExportOptions(
            precision=cast(Precision, self.precision or "int4"),  # the recipe refuses others
            algorithm=cast(Algorithm, self.algorithm or "rtn"),  # and here
            cache=self.cache,
            revision=self.revision,
            offline=self.offline,
        )

    def refuse(self, bundle: str) -> None:
        """
        Raises:
            UsageError: something was chosen, and nothing is to be made.
        """
        for option, chosen in (
            ("--precision", self.precision),
            ("--algorithm", self.algorithm),
            ("--cache", self.cache),
            ("--update", self.update),
            ("--revision", self.revision),
        ):
            if chosen:
                raise UsageError(f"{option} is for making a bundle, and {bundle} is one", hint=f"drop {option}")


def bundle_called(model: str, making: MakingArguments) -> Path:
    """The bundle of a model that is named by its bundle, its checkpoint's folder, its hub id, or as one of the package's.

    Raises:
        CheckpointError: nothing is called so, or it can't be fetched or read.
        UsageError: a choice that can't be, or one for making what is made.
        YoutuOnnxError: as exporting does.
    """
    if any((Path(model).expanduser() / name).is_file() for name in (names.MANIFEST, names.VARIANTS)):
        making.refuse(model)
        return Path(model).expanduser()
    made = kept_bundle(Origin.of(model, making.revision), making.options(), progress(), update=making.update)
    if making.update and made.seconds is None:
        console.note(f"{model} is as it was when it was made")
    _tell(made)
    return made.folder


def _tell(made: Made) -> None:
    if made.verified is not None:
        console.note(f"verified: {made.verified}")
    if made.seconds is not None:
        exporting, preparing = made.seconds
        prepared = f", prepared for this processor in {preparing:.1f} s" if preparing >= 1 else ""
        console.note(f"made in {exporting:.1f} s{prepared}; from now on it starts at once")
