"""Saving a model to a folder in which a user may keep files of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from core_repr.config import CoReConfig
from core_repr.files.places import user_path
from core_repr.files.writing import whole_files
from core_repr.world_model import card, storage


def save(
    folder: str | os.PathLike[str],
    config: CoReConfig,
    modules: Mapping[str, nn.Module],
    blanks: Mapping[str, nn.Module],
    further: Callable[[Path], None] = lambda _: None,
) -> None:
    """Writes config, weights and a card; all of them take their places at once.

    Args:
        folder: Made if needed. A ``README.md`` that is there already stays, and so does whatever
            has another name than these files.
        config: Goes to ``config.json``.
        modules: File name → module.
        blanks: As in :func:`core_repr.world_model.storage.write`.
        further: Writes further files into the folder that it is given.

    Raises:
        ValueError: If they could not be loaded again.
        OSError: If they cannot be written; what was there before stays.
    """
    folder = user_path(folder)
    with whole_files(folder) as staged:
        storage.write(staged, config, modules, blanks)
        if not os.path.lexists(folder / card.CARD_FILE):
            # Names of folders may hold line ends, and bytes that are not UTF-8.
            name = "".join(c if c.isprintable() else "?" for c in folder.resolve().name)
            card.write(staged, config, f"path/to/{name}")
        further(staged)
