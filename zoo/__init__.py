"""Pretrained models: those in the package by name without any network, all others from the Hub.

A name ends in its version, and the weights under a name never change. The package holds one model
for each task and the demo's, so that it does not grow: a better one takes the place of the one
before, whose recipe and figures stay, and further models are on the Hub.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from core_repr.files.names import AGENT_FILE, CONFIG_FILE, MODEL_FILE, RECORD_FILES
from core_repr.hub import repository
from core_repr.hub.packaged import find_folder, list_models
from core_repr.world_model import CoReWorldModel
from core_repr.zoo import recipes
from core_repr.zoo.summary import Summary, summarize
from core_repr.zoo.verification import verify

__all__ = ["Summary", "find", "list_models", "load", "recipes", "summarize", "verify"]


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
    folder = find_folder(model, revision)
    if folder is not None:
        return folder
    name = os.fspath(model)
    further = repository.available(name, [AGENT_FILE, *RECORD_FILES], revision=revision)
    return repository.locate(name, [CONFIG_FILE, MODEL_FILE, *further], revision=revision)


def load(
    model: str | os.PathLike[str],
    device: torch.device | str = "cpu",
    *,
    revision: str | None = None,
    **options: Any,
) -> CoReWorldModel:
    """Loads a world model: :meth:`CoReWorldModel.from_pretrained`, which says what it takes."""
    return CoReWorldModel.from_pretrained(model, device, revision=revision, **options)
