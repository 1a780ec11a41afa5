"""Model folders: ``config.json`` and safetensors, never a pickle.

Whatever is read may be a stranger's. Sizes, names, shapes and types are checked against the config
before anything is allocated for them, and what was checked is what is loaded.
"""

import hashlib
import os
import secrets
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
from core_repr.world_model.safetensors_header import (
    CHECKSUM,
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    Header,
    check_header,
    read_header,
)
from core_repr.world_model.strict_json import parse_json

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
AGENT_FILE = "agent.safetensors"
MAX_CONFIG_BYTES = 1_000_000
MAX_RECORD_BYTES = 10_000_000
"""Of a file that tells about a training."""
MAX_WEIGHT_BYTES = 1_000_000_000
"""Of one file of weights; the paper's model has 11 MB."""

MAX_MESSAGE = 300

Module = TypeVar("Module", bound=nn.Module)


def save(folder: str | Path, config: CoReConfig, modules: Mapping[str, nn.Module]) -> None:
    """Writes a config and the weights of modules, each file whole or not at all.

    Args:
        folder: Made if it does not exist.
        config: Goes to ``config.json``.
        modules: File name → module.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in modules.items():
        write_atomically(folder / name, _serialized(module))
    write_atomically(folder / CONFIG_FILE, config.to_json().encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file beside ``path`` and renames it, so that ``path`` is never half written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # With the permissions that the user's umask asks for.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_config(folder: str | Path) -> CoReConfig:
    """Reads the config of a model folder.

    Raises:
        FileNotFoundError: If the folder or its ``config.json`` is missing.
        ValueError: If the config does not fit, in one sentence that names the field.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no model folder {str(folder)!r}.")
    path = folder / CONFIG_FILE
    content = read_bounded(path, MAX_CONFIG_BYTES)
    try:
        parse_json(content)
    except ValueError as error:
        raise ValueError(f"{path}: The config is not valid JSON: {_shorten(error)}.") from None
    try:
        config = CoReConfig.from_json(content)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {_shorten(error)}") from None
    if config.environment is None:
        raise ValueError(f"{path}: The config's field 'environment' must not be null.")
    if ":" in config.environment.id:
        # Gymnasium imports the module that stands before a colon.
        raise ValueError(
            f"{path}: The config's field 'environment.id' is {config.environment.id[:60]!r}, but a "
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
    expected = module.state_dict()
    limit = LENGTH_BYTES + MAX_HEADER_BYTES + sum(tensor.nbytes for tensor in expected.values())
    with _open(path) as file:
        header = _check(path, file, expected)
        file.seek(0)
        content = file.read(limit)
    checksum = header.metadata.get(CHECKSUM)
    if checksum is not None and checksum != _checksum(content, header.size):
        raise _broken(path, "differs from its own checksum")
    try:
        loaded = from_safetensors(content)
    except SafetensorError as error:
        raise _broken(path, f"is not whole ({_shorten(error)})") from None
    del content
    for name, tensor in loaded.items():
        # NumPy's one thread; PyTorch's would wait for each other where the machine is busy.
        if not np.isfinite(tensor.float().numpy()).all():
            raise ValueError(f"{path}: tensor {name!r} holds values that are not finite.")
    if any(tensor.is_meta for tensor in expected.values()):
        # Not Module.to_empty, whose first call takes half a second; memory formats are kept.
        module.load_state_dict(
            {name: _laid_out_like(loaded[name], tensor) for name, tensor in expected.items()},
            assign=True,
        )
    else:
        module.load_state_dict(loaded)
    return module


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
        _check(path, file, module.state_dict())


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
        check_header(header.entries, expected)
    except ValueError as error:
        raise ValueError(
            f"{path} {error}, so it does not belong to the config beside it; "
            "fetch or save both again."
        ) from None
    return header


def _serialized(module: nn.Module) -> bytes:
    tensors = {key: value.contiguous() for key, value in module.state_dict().items()}
    content = to_safetensors(tensors)
    header = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    return to_safetensors(tensors, {CHECKSUM: _checksum(content, header)})


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
