"""Checkpoints: everything that learning goes on from, whole or not at all, without a pickle."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from core_repr.world_model.storage import write_atomically

TENSORS_FILE = "training.safetensors"
VALUES_FILE = "training.json"
FORMAT_VERSION = 1


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives a folder to write to, which becomes ``path`` when the block ends without an error.

    Args:
        path: A folder that was there before is replaced.

    Raises:
        OSError: If the disk is full or the place cannot be written to; ``path`` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        temporary.chmod(0o755)
        yield temporary
        if path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as old:
                path.rename(Path(old) / path.name)
                temporary.rename(path)
        else:
            temporary.rename(path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes an object as JSON, whole or not at all."""
    write_atomically(path, (json.dumps(values) + "\n").encode())


def write_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Writes the state of a training.

    Args:
        folder: Where to.
        tensors: Optimisers and generators.
        values: What JSON knows: counters, bookkeeping, generators.
    """
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(folder / TENSORS_FILE, to_safetensors(flat))
    write_json(folder / VALUES_FILE, {"format_version": FORMAT_VERSION, **values})


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what :func:`write_state` wrote.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If one is broken or of another version.
    """
    for name in (TENSORS_FILE, VALUES_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"The checkpoint {str(folder)!r} lacks {name!r}.")
    values = read_json(folder / VALUES_FILE)
    if values.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{folder / VALUES_FILE}: The checkpoint has format {values.get('format_version')!r}, "
            f"but this release reads {FORMAT_VERSION}; install a core-repr release that fits it."
        )
    try:
        tensors = from_safetensors((folder / TENSORS_FILE).read_bytes())
    except SafetensorError as error:
        raise ValueError(
            f"{folder / TENSORS_FILE} is not a whole safetensors file ({error}); "
            "go on from another checkpoint."
        ) from None
    return tensors, values


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ValueError: If the file holds anything else.
    """
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object.")
    return values


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns the moments and step counts of an optimiser, as ``name.parameter.key``."""
    state = optimizer.state_dict()["state"]
    return {f"{name}.{i}.{key}": value for i, each in state.items() for key, value in each.items()}


def restore_optimizer(
    name: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Fills an optimiser with what :func:`optimizer_tensors` gave; the learning rates stay.

    Raises:
        ValueError: If they belong to other parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        owner, _, rest = full_name.partition(".")
        if owner != name:
            continue
        number, _, key = rest.partition(".")
        index = int(number) if number.isdecimal() else -1
        fits = 0 <= index < len(parameters) and tensor.shape in (parameters[index].shape, ())
        if not fits:
            raise ValueError(
                f"The checkpoint's tensor {full_name!r} of shape {tuple(tensor.shape)} does not "
                "belong to the config beside it."
            )
        if tensor.shape == parameters[index].shape and tensor.dim():
            # Fused optimisers walk over memory: moments must lie there as their parameters do.
            tensor = torch.empty_like(parameters[index]).copy_(tensor)
        state.setdefault(index, {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def global_random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the states of torch's, NumPy's and Python's own generators."""
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    tensors = {
        "torch_generator": torch.get_rng_state(),
        "numpy_generator": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "python_generator": torch.tensor(internal, dtype=torch.int64),
    }
    values = {"numpy": [position, has_gauss, cached], "python": [version, gauss]}
    return tensors, values


def restore_global_random_states(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Sets what :func:`global_random_states` returned."""
    torch.set_rng_state(tensors["torch_generator"])
    keys = tensors["numpy_generator"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *values["numpy"]))
    version, gauss = values["python"]
    random.setstate((version, tuple(tensors["python_generator"].tolist()), gauss))
