"""Model folders: ``config.json`` and safetensors, never a pickle."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from core_repr.config import CoReConfig

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
MAX_CONFIG_BYTES = 1_000_000


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
        tensors = {key: value.contiguous() for key, value in module.state_dict().items()}
        write_atomically(folder / name, to_safetensors(tensors))
    write_atomically(folder / CONFIG_FILE, config.to_json().encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file beside ``path`` and renames it, so that ``path`` is never half written."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
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
    _require_file(path)
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} is larger than {MAX_CONFIG_BYTES:,} bytes: it is no config.")
    try:
        config = CoReConfig.from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if config.environment is None:
        raise ValueError(f"{path}: The config's field 'environment' must not be null.")
    return config


def load_weights(path: Path, module: nn.Module) -> None:
    """Fills a module with the tensors of a safetensors file; all must fit in name, shape and type.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is broken or a tensor does not fit.
    """
    _require_file(path)
    expected = module.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            _require_same_names(path, names, set(expected))
            loaded = {}
            for name, tensor in expected.items():
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tuple(tensor.shape):
                    raise ValueError(
                        f"{path}: tensor {name!r} has shape {shape}, but the config beside it "
                        f"asks for {tuple(tensor.shape)}."
                    )
                loaded[name] = file.get_tensor(name)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); fetch or save it again."
        ) from None
    for name, tensor in loaded.items():
        if tensor.dtype != expected[name].dtype:
            raise ValueError(
                f"{path}: tensor {name!r} is {tensor.dtype}, expected {expected[name].dtype}."
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: tensor {name!r} holds values that are not finite.")
    module.load_state_dict(loaded)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"The model folder {str(path.parent)!r} lacks {path.name!r}; "
            "it needs the files that save_pretrained writes."
        )


def _require_same_names(path: Path, names: set[str], expected: set[str]) -> None:
    for difference, what in ((expected - names, "lacks"), (names - expected, "has an unknown")):
        if difference:
            raise ValueError(
                f"{path} {what} tensor {json.dumps(sorted(difference)[0])}: "
                "it does not belong to the config beside it."
            )
