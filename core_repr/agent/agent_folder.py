"""A world model with its agent in a model folder, or packed into one file."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from core_repr.agent.networks import AgentNetworks
from core_repr.agent.parts import build_networks
from core_repr.config import CoReConfig
from core_repr.files.names import AGENT_FILE, CONFIG_FILE, MAX_WEIGHT_BYTES, MODEL_FILE
from core_repr.files.weights import check_weights, load_weights
from core_repr.files.writing import write_atomically
from core_repr.hub import model_folder
from core_repr.world_model import CoReWorldModel

FILES = (CONFIG_FILE, MODEL_FILE, AGENT_FILE)


def save(
    folder: str | os.PathLike[str],
    config: CoReConfig,
    model: nn.Module,
    agent: AgentNetworks,
    further: Callable[[Path], None] = lambda _: None,
) -> None:
    """Saves both as :func:`core_repr.hub.model_folder.save` does."""
    modules, blanks = _contents(model, agent), _contents(*blank(config))
    model_folder.save(folder, config, modules, blanks, further)


def write(folder: Path, config: CoReConfig, model: nn.Module, agent: AgentNetworks) -> None:
    """Writes both, without a card, into an empty folder.

    Raises:
        ValueError: If they could not be loaded again.
        OSError: If they cannot be written.
    """
    model_folder.write(folder, config, _contents(model, agent), _contents(*blank(config)))


def blank(config: CoReConfig) -> tuple[CoReWorldModel, AgentNetworks]:
    """Returns the networks that a config with its environment asks for, without values."""
    with torch.device("meta"):
        model = CoReWorldModel(config)
        return model, build_networks(model)


def check(folder: Path, config: CoReConfig) -> None:
    """Refuses files that :func:`load` would refuse for their sizes, names, shapes or types.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken or does not fit the config.
    """
    model, agent = blank(config)
    check_weights(folder / MODEL_FILE, model)
    check_weights(folder / AGENT_FILE, _stored_part(agent, folder))


def load(folder: Path, model: CoReWorldModel, agent: AgentNetworks) -> None:
    """Fills a world model and an agent.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken or does not fit.
    """
    load_weights(folder / MODEL_FILE, model)
    part = _stored_part(agent, folder)
    load_weights(folder / AGENT_FILE, part)
    if part is not agent:
        agent.reset_targets(model)


def pack(path: Path, config: CoReConfig, model: nn.Module, agent: AgentNetworks) -> None:
    """Writes a zip file of the files of a model folder, whole or not at all.

    Raises:
        ValueError: If they could not be loaded again.
        OSError: If it cannot be written.
    """
    content = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="core-repr-") as temporary:
        write(Path(temporary), config, model, agent)
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            for name in FILES:
                archive.write(Path(temporary) / name, name)
    write_atomically(path, content.getvalue())


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Gives a folder with the files that :func:`pack` wrote, which may be a stranger's.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or what is read from the folder does not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    with tempfile.TemporaryDirectory(prefix="core-repr-") as temporary:
        try:
            _unpack(path, Path(temporary))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(f"{path} is not a whole file of CoRePolicy.save: {error}.") from None
        try:
            yield Path(temporary)
        except ValueError as error:
            raise ValueError(str(error).replace(temporary, str(path))) from None


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        if names != sorted(FILES):
            raise ValueError(
                f"{path} holds {', '.join(names)[:200] or 'nothing'} instead of "
                f"{', '.join(FILES)}; a file that Stable-Baselines3 wrote is not read here, for it "
                "may hold a pickle."
            )
        for member in archive.infolist():
            # Nothing is compressed, so that no small file can become a large one.
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > MAX_WEIGHT_BYTES:
                raise ValueError(f"{path}: {member.filename} is compressed or too large.")
            (folder / member.filename).write_bytes(archive.read(member))


def _contents(model: nn.Module, agent: AgentNetworks) -> dict[str, nn.Module]:
    return {MODEL_FILE: model, AGENT_FILE: agent.published()}


def _stored_part(agent: AgentNetworks, folder: Path) -> nn.Module:
    """Returns the part of an agent that a folder holds; earlier releases kept all of it."""
    try:
        with safe_open(folder / AGENT_FILE, framework="pt") as file:
            whole = any(name.startswith("critic_target.") for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError):
        whole = False  # What is wrong with the file, its loader says.
    return agent if whole else agent.published()
