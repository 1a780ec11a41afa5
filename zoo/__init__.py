"""Pretrained models by name, without any network.

A name ends in its version, and the weights under a name never change.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import torch

from core_repr.world_model import CoReWorldModel

__all__ = ["find", "list_models", "load"]

PRETRAINED = Path(__file__).parent / "pretrained"


def list_models() -> list[str]:
    """Returns the names of the models in the package, sorted."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def find(model: str | Path) -> Path:
    """Returns the folder of a model.

    Args:
        model: A zoo name or a folder.

    Raises:
        FileNotFoundError: If it is neither; the message lists near misses.
    """
    names = list_models()
    if str(model) in names:
        return PRETRAINED / str(model)
    if str(model) and Path(model).is_dir():
        return Path(model)
    near = difflib.get_close_matches(str(model), names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the zoo has {', '.join(names)}."
    raise FileNotFoundError(f"{str(model)!r} is neither a zoo name nor a folder; {hint}")


def load(model: str | Path, device: torch.device | str = "cpu") -> CoReWorldModel:
    """Loads a world model.

    Args:
        model: A zoo name, such as ``"cartpole-swingup-easy-v0"``, or a model folder.
        device: Where the model goes.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such model or it lacks a file.
        ValueError: If a file of it is broken or does not fit.
    """
    return CoReWorldModel.from_pretrained(find(model), device)
