"""Where a checkpoint or a bundle lies: a folder, a model that comes with the package, or the hub's cache."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from youtu_onnx.core.errors import BundleError, CheckpointError, ResourceError, UsageError
from youtu_onnx.core.foreign import recognised
from youtu_onnx.core.hub_cache import COMMIT, name_and_commit

_MODELS = Path(__file__).parent.parent / "models"
BUILT_IN = {"youtu-nano": _MODELS / "youtu_nano", "microreason": _MODELS / "microreason"}
"""Checkpoints that come with the package."""

FETCHED = ("*.json", "*.safetensors", "*.jinja", "README.md", "*.model", "merges.txt", "vocab.txt")
"""What is downloaded of a checkpoint: never pickles, never code."""

_TEMPLATES = "additional_chat_templates"
NOT_FETCHED = (
    *(f"{_TEMPLATES[:place]}[!{letter}]*/*" for place, letter in enumerate(_TEMPLATES)),
    *(f"{_TEMPLATES[:place]}/*" for place in range(1, len(_TEMPLATES))),
    f"{_TEMPLATES}?*/*",
)
"""Folders, in which other forms of the model are; but for that of templates."""

FETCHED_BUNDLE = (
    *("*.json", "*.jinja", "README.md", "model.onnx", "model.onnx.data", "batch.onnx"),
    *("adapter_inputs.safetensors", "adapters/*.onnx_adapter"),
)
"""What is downloaded of a bundle."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PAGE = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com)/([^/]+/[^/?#]+)(?:/tree/([^/?#]+))?.*")


def locate(model: str, revision: str | None, offline: bool) -> tuple[Path, str, str | None]:
    """Folder, recorded name and hub commit of what the user named.

    Raises:
        CheckpointError: nothing is there, or it can't be fetched.
        UsageError: ``revision`` with something that has none.
    """
    try:
        folder = BUILT_IN.get(model) or Path(model).expanduser()
        is_folder = folder.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a zero byte, of somebody unknown's home
        raise CheckpointError(f"no checkpoint at {model}: {error}", hint=_instead_of_nothing(model)) from error
    if not model:
        raise CheckpointError("no checkpoint is named: the name is empty", hint=_instead_of_nothing(model))
    if is_folder:
        if revision is not None:
            raise UsageError(
                f"--revision {revision} has no meaning for {model}: it is not on a hub",
                hint="drop --revision, or name a hub id such as tencent/Youtu-LLM-2B",
            )
        name, commit = (model, None) if model in BUILT_IN else name_and_commit(folder)
        return folder, name, commit
    if model in BUILT_IN:
        raise CheckpointError(
            f"{model} is missing from this installation (looked in {folder})",
            hint="pip install --force-reinstall --no-deps youtu-onnx",
        )
    if folder.is_file():
        raise _a_file(model, folder)
    if not HUB_ID.fullmatch(model):
        raise CheckpointError(f"no checkpoint at {model}: nothing is there", hint=_instead_of_nothing(model))
    return _fetch(model, revision, offline)


def locate_bundle(bundle: str, revision: str | None = None, offline: bool = False) -> Path:
    """The folder of a bundle that is named by its path or by a hub id. A path wins; what is in it is not looked at.

    Raises:
        BundleError: it can't be fetched.
        ResourceError: the disk is full.
        UsageError: ``revision`` with a folder.
    """
    folder = Path(bundle).expanduser()
    if folder.exists() or not HUB_ID.fullmatch(bundle):
        if revision is not None:
            raise UsageError(
                f"revision {revision} has no meaning for {bundle}: it is not on a hub", hint="drop it, or name a hub id"
            )
        return folder
    try:
        return _fetch(bundle, revision, offline, FETCHED_BUNDLE)[0]
    except CheckpointError as error:
        raise BundleError(error.message, hint=error.hint) from error


def _a_file(model: str, file: Path) -> CheckpointError:
    found = recognised(file)
    if found is not None:
        return CheckpointError(f"{model} is {found.what}", hint=found.hint)
    return CheckpointError(f"{model} is a file; --model names the folder that it lies in", hint=f"try --model {file.parent}")


def _instead_of_nothing(model: str) -> str:
    """For what is neither a path nor a hub id, though perhaps it says one."""
    page, pinned = _PAGE.fullmatch(model), re.fullmatch(rf"({HUB_ID.pattern})[@:]([\w./-]+)", model)
    found = page or pinned
    if found is not None:
        return f"name the hub id: --model {found[1]}{f' --revision {found[2]}' if found[2] else ''}"
    return f"name a folder, a hub id such as tencent/Youtu-LLM-2B, or one of: {', '.join(BUILT_IN)}"


def _fetch(model: str, revision: str | None, offline: bool, files: tuple[str, ...] = FETCHED) -> tuple[Path, str, str | None]:
    """The repository's snapshot in the hub's cache, downloaded where it isn't there yet."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
    except ImportError as error:
        raise CheckpointError(
            f"{model} is no folder here, and downloading it needs huggingface_hub", hint="pip install 'youtu-onnx[export]'"
        ) from error
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, local_files_only=offline, allow_patterns=list(files), ignore_patterns=list(NOT_FETCHED)
            )
        )
    except GatedRepoError as error:
        raise CheckpointError(
            f"{model} asks its readers to accept terms, and this account has not",
            hint=f"accept them on the page of {model}, then: hf auth login",
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{model} has no revision {revision!r}", hint="choose a branch, tag or commit of the model"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"neither a folder nor a model on the hub is called {model}",
            hint="check the spelling; a private model needs: hf auth login",
        ) from error
    except LocalEntryNotFoundError as error:
        if offline:
            raise CheckpointError(
                f"{model} is not (or not wholly) in the hub's cache, and --offline forbids fetching it",
                hint=f"once, with a network: hf download {model}",
            ) from error
        raise CheckpointError(
            f"{model} is no folder here, and the hub can't be reached ({error.__cause__ or error})",
            hint="check the network or HF_ENDPOINT, or point --model at a folder",
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ResourceError(
                f"the disk is full; {model} was not downloaded", hint="free some space, or move the hub's cache with HF_HOME"
            ) from error
        raise _download_failed(model, error) from error
    except Exception as error:  # the hub's client changed its transport, and with it the errors that escape, more than once
        raise _download_failed(model, error) from error
    return folder, model, folder.name if COMMIT.fullmatch(folder.name) else None


def _download_failed(model: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"downloading {model} failed ({type(error).__name__}: {error})",
        hint="try again: files that arrived are kept; or point --model at a folder",
    )
