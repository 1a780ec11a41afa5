"""Model folders: ``config.json``, safetensors and a card.

A user may keep files of their own in one, and what is read may be a stranger's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from core_repr.config import CoReConfig
from core_repr.files.names import CARD_FILE, CONFIG_FILE, MAX_CONFIG_BYTES
from core_repr.files.places import user_path
from core_repr.files.reading import read_bounded, shorten
from core_repr.files.strict_json import parse_json
from core_repr.files.weights import serialized
from core_repr.files.writing import finish, whole_files, write_atomically
from core_repr.hub import card


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
        blanks: As in :func:`write`.
        further: Writes further files into the folder that it is given.

    Raises:
        ValueError: If they could not be loaded again.
        OSError: If they cannot be written; what was there before stays.
    """
    folder = user_path(folder)
    with whole_files(folder) as staged:
        write(staged, config, modules, blanks)
        if not os.path.lexists(folder / CARD_FILE):
            # Names of folders may hold line ends, and bytes that are not UTF-8.
            name = "".join(c if c.isprintable() else "?" for c in folder.resolve().name)
            card.write(staged, config, f"path/to/{name}")
        further(staged)


def write(
    folder: Path,
    config: CoReConfig,
    modules: Mapping[str, nn.Module],
    blanks: Mapping[str, nn.Module],
) -> None:
    """Writes a config and the weights of modules, if they could be loaded again.

    Args:
        folder: An empty one.
        config: Goes to ``config.json``.
        modules: File name → module.
        blanks: File name → what a loader will make of the config; their device may be ``meta``.

    Raises:
        ValueError: If :func:`load_config` or :func:`load_weights` would refuse what was written.
        OSError: If it cannot be written.
    """
    check_config(config)
    for name, module in modules.items():
        write_atomically(folder / name, serialized(name, module, blanks[name]))
    write_atomically(folder / CONFIG_FILE, config.to_json().encode())


def check_config(config: CoReConfig) -> None:
    """Refuses a config that would not be the same once it is saved and loaded.

    Raises:
        ValueError: In one sentence that names the field.
    """
    try:
        content = config.to_json().encode()
        if len(content) > MAX_CONFIG_BYTES:
            raise ValueError(f"it would take {len(content):,} bytes of {MAX_CONFIG_BYTES:,}")
        if _parse_config(content) != config:
            raise ValueError("its values would differ")
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"The config could not be loaded again once it is saved: {shorten(error).rstrip('.')}."
        ) from None


def load_config(folder: str | Path) -> CoReConfig:
    """Reads the config of a model folder.

    Raises:
        FileNotFoundError: If the folder or its ``config.json`` is missing.
        ValueError: If the config does not fit, in one sentence that names the field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no model folder {str(folder)!r}.")
    finish(folder)
    path = folder / CONFIG_FILE
    content = read_bounded(path, MAX_CONFIG_BYTES)
    try:
        return _parse_config(content)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {shorten(error)}") from None


def _parse_config(content: bytes) -> CoReConfig:
    try:
        parse_json(content)
    except ValueError as error:
        raise ValueError(f"The config is not valid JSON: {shorten(error)}.") from None
    config = CoReConfig.from_json(content)
    if config.environment is None:
        raise ValueError("The config's field 'environment' must not be null.")
    if ":" in config.environment.id:
        # Gymnasium imports the module that stands before a colon.
        raise ValueError(
            f"The config's field 'environment.id' is {config.environment.id[:60]!r}, but a "
            "name with a colon would run a module's code; register the environment instead."
        )
    return config
