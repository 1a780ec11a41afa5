"""Model folders: ``config.json`` and safetensors, never a pickle.

Whatever is read may be a stranger's. Sizes, names, shapes and types are checked against the config
before anything is allocated for them, and what was checked is what is loaded.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from core_repr.config import CoReConfig
from core_repr.config.formats import current_name
from core_repr.files.strict_json import parse_json
from core_repr.files.writing import finish, write_atomically
from core_repr.world_model.safetensors_header import (
    CHECKSUM,
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    Entry,
    Header,
    check_header,
    read_header,
)

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
AGENT_FILE = "agent.safetensors"
MAX_CONFIG_BYTES = 1_000_000
MAX_RECORD_BYTES = 10_000_000
"""Of a file that tells about a training."""
MAX_WEIGHT_BYTES = 1_000_000_000
"""Of one file of weights; the paper's model has 11 MB."""

MAX_MESSAGE = 300

COMPILED = "_orig_mod."
"""What ``torch.compile`` puts before the names of a module's tensors."""

Module = TypeVar("Module", bound=nn.Module)


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
        write_atomically(folder / name, _serialized(name, module, blanks[name]))
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
            f"The config could not be loaded again once it is saved: {_shorten(error).rstrip('.')}."
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
        raise ValueError(f"{path}: {_shorten(error)}") from None


def _parse_config(content: bytes) -> CoReConfig:
    try:
        parse_json(content)
    except ValueError as error:
        raise ValueError(f"The config is not valid JSON: {_shorten(error)}.") from None
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


def load_weights(path: Path, module: Module) -> Module:
    """Fills a module with the tensors of a safetensors file; all must fit in name, shape and type.

    Args:
        path: The file.
        module: One on the device ``meta`` gets its memory, on the CPU, once all has been checked.

    Returns:
        The module.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is broken or a tensor does not fit.
    """
    expected = state(module)
    limit = LENGTH_BYTES + MAX_HEADER_BYTES + sum(tensor.nbytes for tensor in expected.values())
    with _open(path) as file:
        header = _check(path, file, expected)
        file.seek(0)
        content = file.read(limit)
    checksum = header.metadata.get(CHECKSUM)
    if checksum is not None and checksum != _checksum(content, header.size):
        raise _broken(path, "differs from its own checksum")
    try:
        loaded = {current_name(name): value for name, value in from_safetensors(content).items()}
    except SafetensorError as error:
        raise _broken(path, f"is not whole ({_shorten(error)})") from None
    del content
    for name, tensor in loaded.items():
        # NumPy's one thread; PyTorch's would wait for each other where the machine is busy.
        if not np.isfinite(tensor.float().numpy()).all():
            raise ValueError(f"{path}: tensor {name!r} holds values that are not finite.")
    if any(tensor.is_meta for tensor in expected.values()):
        loaded = {name: _laid_out_like(loaded[name], tensor) for name, tensor in expected.items()}
    # Memory formats are kept, and Module.to_empty is not called: it takes half a second at first.
    fill(module, loaded, assign=any(tensor.is_meta for tensor in expected.values()))
    return module


def fill(module: nn.Module, tensors: Mapping[str, torch.Tensor], assign: bool = False) -> None:
    """Fills a module, parts of which may be compiled, with what :func:`state` returned.

    Raises:
        KeyError: If a tensor is missing.
        RuntimeError: If one has another shape.
    """
    named = {name: tensors[name.replace(COMPILED, "")] for name in module.state_dict()}
    module.load_state_dict(named, assign=assign)


def check_weights(path: Path, module: nn.Module) -> None:
    """Refuses a file that :func:`load_weights` would refuse for its size, names, shapes or types.

    Args:
        path: The file.
        module: What it has to fit; its device may be ``meta``.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is broken or a tensor does not fit.
    """
    with _open(path) as file:
        _check(path, file, state(module))


def read_bounded(path: Path, limit: int) -> bytes:
    """Reads a file of a model folder that has at most ``limit`` bytes.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is larger, or a symbolic link that leaves its folder.
    """
    with _open(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(
            f"{path} is larger than {limit:,} bytes, so it is not what its name says; "
            "fetch or save it again."
        )
    return content


def _open(path: Path) -> BinaryIO:
    if path.is_symlink() and not stays_inside(path):
        raise ValueError(
            f"{path} is a symbolic link that leaves its folder; put the file itself there."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"The model folder {str(path.parent)!r} lacks {path.name!r}; {_hint(path.parent)}"
        )
    return open(path, "rb")


def _hint(folder: Path) -> str:
    if (folder / "model" / CONFIG_FILE).exists():
        return f"did you mean {str(folder / 'model')!r}?"
    return "it needs the files that save_pretrained writes."


def stays_inside(link: Path) -> bool:
    """Whether a link stays in its folder, or leads from a snapshot of the Hub's cache to a blob."""
    # Not Path.resolve, which fails where links go round in circles.
    folder, target = (Path(os.path.realpath(path)) for path in (link.parent, link))
    if target.parent == folder:
        return True
    repository = folder.parent.parent
    if folder.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return False
    # The cache's folders hold hashes; one that all its repositories share lies beside them.
    shared = repository.parent / "blobs"
    return target.parent == repository / "blobs" or target.parent.parent == shared


def _check(path: Path, file: BinaryIO, expected: Mapping[str, torch.Tensor]) -> Header:
    """Checks size and header of an open file."""
    size = os.fstat(file.fileno()).st_size
    needed = sum(tensor.nbytes for tensor in expected.values())
    if max(size, needed) > MAX_WEIGHT_BYTES:
        raise ValueError(
            f"{path}: {max(size, needed):,} bytes of weights are more than the "
            f"{MAX_WEIGHT_BYTES:,} that a model may have."
        )
    try:
        header = read_header(file, size)
    except ValueError as error:
        raise _broken(path, str(error)) from None
    try:
        entries = {current_name(name): entry for name, entry in header.entries.items()}
        check_header(entries, expected)
    except ValueError as error:
        raise ValueError(
            f"{path} {error}, so it does not belong to the config beside it; "
            "fetch or save both again."
        ) from None
    return header


def check_module(name: str, module: nn.Module, blank: nn.Module) -> None:
    """Refuses a module whose weights could not be loaded again.

    Args:
        name: Of the file.
        module: What is to be saved.
        blank: As in :func:`write`.

    Raises:
        ValueError: At the first tensor that does not fit, or holds what is not a finite number.
    """
    tensors = state(module)
    entries = {key: Entry(value.dtype, tuple(value.shape), 0, 0) for key, value in tensors.items()}
    try:
        check_header(entries, state(blank))
        for key, value in tensors.items():
            if not value.is_meta and not value.isfinite().all():
                raise ValueError(f"has tensor {key!r} with values that are not finite")
        size = sum(value.nbytes for value in tensors.values())
        if size > MAX_WEIGHT_BYTES:
            raise ValueError(f"has {size:,} bytes of weights, more than {MAX_WEIGHT_BYTES:,}")
        if any(value.is_meta for value in tensors.values()):
            raise ValueError("has tensors without values, on the device 'meta'")
    except ValueError as error:
        raise ValueError(
            f"{name} is not saved, because it could not be loaded again: it {error}; give the "
            "networks finite weights and the names, shapes and types of their config."
        ) from None


def _serialized(name: str, module: nn.Module, blank: nn.Module) -> bytes:
    check_module(name, module, blank)
    # Copies: safetensors refuses tensors that share their memory.
    copies = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in state(module).items()
    }
    content = to_safetensors(copies)
    header = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    return to_safetensors(copies, {CHECKSUM: _checksum(content, header)})


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Returns the tensors by the names that they have where nothing is compiled."""
    return {name.replace(COMPILED, ""): value for name, value in module.state_dict().items()}


def _checksum(content: bytes, header_size: int) -> str:
    """Of a file's tensors, so that a bit that flipped on a disk is noticed."""
    return hashlib.sha256(memoryview(content)[header_size:]).hexdigest()


def _laid_out_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    if tensor.stride() == other.stride():
        return tensor
    return torch.empty_strided(other.shape, other.stride(), dtype=other.dtype).copy_(tensor)


def _broken(path: Path, clause: str) -> ValueError:
    return ValueError(f"{path} is no sound safetensors file: it {clause}; fetch or save it again.")


def _shorten(error: Exception) -> str:
    message: Any = " ".join(str(error).split())
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
