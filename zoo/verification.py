"""Whether a model is whole, is what it was, and computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from core_repr.files.names import (
    AGENT_FILE,
    CONFIG_FILE,
    MAX_RECORD_BYTES,
    MAX_WEIGHT_BYTES,
    MODEL_FILE,
)
from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_json
from core_repr.world_model import CoReWorldModel

CHECKSUMS_FILE = "checksums.json"
"""Beside the models of the package: model → file → SHA-256; none ever changes."""


def verify(folder: Path) -> dict[str, str]:
    """Loads a model, runs it for a step and compares its files with the zoo's checksums.

    Args:
        folder: The model's folder.

    Returns:
        Name of each file of config and weights → its SHA-256.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken, does not fit or differs from the zoo's, or the model's
            latent state is not finite.
    """
    model = CoReWorldModel.from_pretrained(folder)
    side = model.config.world_model.frame_size
    frames = torch.full((1, side, side, 3), 127, dtype=torch.uint8)
    environment = model.config.environment
    assert environment is not None
    sensors = environment.proprioception_size
    with torch.no_grad():
        state = model.step(
            model.initial_state(1),
            torch.zeros(1, environment.action_size),
            frames,
            torch.ones(1, dtype=torch.bool),
            proprioception=torch.zeros(1, sensors) if sensors else None,
        )
    if not torch.isfinite(state.features).all():
        raise ValueError(f"{folder}: the model's latent state of a grey frame is not finite.")
    files = (CONFIG_FILE, MODEL_FILE, AGENT_FILE)
    sums = {name: _sha256(folder / name) for name in files if (folder / name).exists()}
    for name, expected in _recorded(folder).items():
        if sums.get(name) != expected:
            raise ValueError(
                f"{folder / name} has the checksum {sums.get(name, 'of no file')}, but under this "
                f"name it is {expected}; install core-repr again."
            )
    return sums


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bounded(path, MAX_WEIGHT_BYTES)).hexdigest()


def _recorded(folder: Path) -> dict[str, str]:
    path = folder.parent / CHECKSUMS_FILE
    if not path.exists():
        return {}
    records = parse_json(read_bounded(path, MAX_RECORD_BYTES))
    found = records.get(folder.name, {}) if isinstance(records, dict) else {}
    return {str(name): str(checksum) for name, checksum in found.items()}
