"""Pretrained models: those in the package by name without any network, all others from the Hub.

A name ends in its version, and the weights under a name never change. The package holds one model
for each task and the demo's, so that it does not grow: a better one takes the place of the one
before, whose recipe and figures stay, and further models are on the Hub.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

import torch

from core_repr.world_model import CoReWorldModel, hub, storage
from core_repr.world_model.hub_names import find_repository
from core_repr.zoo import recipes
from core_repr.zoo.summary import RECORDS, Summary, summarize
from core_repr.zoo.verification import verify

__all__ = ["Summary", "find", "list_models", "load", "recipes", "summarize", "verify"]

PRETRAINED = Path(__file__).parent / "pretrained"


def list_models() -> list[str]:
    """Returns the names of the models in the package, by task, newest version first."""
    return sorted((path.parent.name for path in PRETRAINED.glob("*/config.json")), key=_by_version)


def find(model: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """Returns the folder of a model with all its files, fetched from the Hub if need be.

    Args:
        model: A zoo name, a folder, a Hub repository ``"user/repo"``, or the address of its page.
            A zoo name goes first.
        revision: Branch, tag, pull request or commit of the repository.

    Raises:
        FileNotFoundError: If there is no such model; the message lists near misses.
        OSError: If the Hub cannot be reached or refuses.
        ValueError: If a file is too large, or what has no revision is given with one.
    """
    folder = _local(model, revision)
    if folder is not None:
        return folder
    repository = os.fspath(model)
    further = hub.available(repository, [storage.AGENT_FILE, *RECORDS], revision=revision)
    files = [storage.CONFIG_FILE, storage.MODEL_FILE, *further]
    return hub.locate(repository, files, revision=revision)


def load(
    model: str | os.PathLike[str],
    device: torch.device | str = "cpu",
    *,
    revision: str | None = None,
    **options: Any,
) -> CoReWorldModel:
    """Loads a world model.

    Args:
        model: A zoo name, such as ``"cartpole-swingup-easy-v0"``, a model folder, a Hub
            repository, ``"user/repo"``, or the address of its page, such as
            ``"https://huggingface.co/user/repo"``. A zoo name goes first.
        device: Where the model goes.
        revision: Branch, tag, pull request or commit of the repository.
        **options: For the Hub: ``token``, ``cache_dir``, ``local_files_only`` and
            ``force_download`` of ``CoReWorldModel.from_pretrained``.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such model or it lacks a file.
        OSError: If the Hub cannot be reached or refuses.
        ValueError: If a file of it is broken or does not fit.
    """
    folder = _local(model, revision)
    place = os.fspath(model) if folder is None else folder
    return CoReWorldModel.from_pretrained(place, device, revision=revision, **options)


def _local(model: str | os.PathLike[str], revision: str | None) -> Path | None:
    """The folder of what needs no network; ``None`` for a Hub repository."""
    name, names = os.fspath(model), list_models()
    folder = PRETRAINED / name if name in names else Path(name).expanduser()
    if name and folder.is_dir():
        if revision is not None:
            raise ValueError(
                f"{name!r} is a {'zoo name' if name in names else 'folder'}, which has no revision "
                f"{revision!r}; leave it out, or name a Hub repository."
            )
        return folder
    if find_repository(name, revision) is not None:
        return None
    if name in recipes.list_recipes():
        newer = [other for other in names if _stem(other) == _stem(name)]
        raise FileNotFoundError(
            f"{name!r} is not in the package{f' any more, {newer[0]!r} is' if newer else ''}; "
            f"train it with `core-repr train --recipe {name}`, or name a folder or a Hub "
            "repository 'user/repo' that holds it."
        )
    near = difflib.get_close_matches(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the zoo has {', '.join(names)}."
    raise FileNotFoundError(
        f"{name!r} is neither a zoo name nor a folder nor a Hub repository 'user/repo', where "
        f"further models are; {hint}"
    )


def _by_version(name: str) -> tuple[str, int]:
    version = name[len(_stem(name)) :].removeprefix("-v")
    return _stem(name), -int(version or 0)


def _stem(name: str) -> str:
    """``walker-walk-medium-v1`` → ``walker-walk-medium``."""
    return re.sub(r"-v\d+$", "", name)
