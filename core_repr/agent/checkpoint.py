"""Checkpoints: everything that learning resumes from, whole or not at all, without a pickle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from core_repr.files.json_files import refuse_large
from core_repr.files.reading import read_bounded
from core_repr.files.writing import write_atomically

MAX_TENSOR_BYTES = 4_000_000_000


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors as safetensors, whole or not at all.

    Raises:
        ValueError: If they are too large to be read again.
        OSError: If they cannot be written.
    """
    # Copies: safetensors refuses tensors that share their memory.
    flat = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    refuse_large(path, sum(tensor.nbytes for tensor in flat.values()), MAX_TENSOR_BYTES)
    write_atomically(path, to_safetensors(flat))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads what :func:`write_tensors` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken.
    """
    content = read_bounded(path, MAX_TENSOR_BYTES)
    try:
        return from_safetensors(content)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); resume from another checkpoint."
        ) from None


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns the moments and step counts of an optimiser, as ``name.key.parameter``."""
    return {
        f"{name}.{key}.{of}": value
        for of, parameter in _named_parameters(optimizer).items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    name: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Fills an optimiser with what :func:`optimizer_tensors` gave; the learning rates stay.

    Raises:
        ValueError: If they belong to other parameters.
    """
    parameters = _named_parameters(optimizer)
    numbers = {of: number for number, of in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        owner, _, rest = full_name.partition(".")
        if owner != name:
            continue
        key, _, of = rest.partition(".")
        if of not in parameters or tensor.shape not in (parameters[of].shape, ()):
            raise ValueError(
                f"The checkpoint's tensor {full_name!r} of shape {tuple(tensor.shape)} does not "
                "belong to the config's optimisers; continue from the weights alone, such as a "
                "run's model folder."
            )
        if tensor.shape == parameters[of].shape and tensor.dim():
            # Fused optimisers walk over memory: moments must lie there as their parameters do.
            tensor = torch.empty_like(parameters[of]).copy_(tensor)
        state.setdefault(numbers[of], {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _named_parameters(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns name → parameter, in the optimiser's own order."""
    return {
        name: parameter
        for group in optimizer.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
    }


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class GlobalGenerators:
    """What Python's and NumPy's own random generators hold besides their keys.

    Attributes:
        numpy_position: Of the next key.
        numpy_has_gauss: Whether a normal number is kept for the next draw, and
        numpy_gauss: which.
        python_version: Of the state of Python's generator.
        python_gauss: The normal number that is kept for the next draw.
    """

    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float
    python_version: int
    python_gauss: float | None


def global_generators() -> tuple[dict[str, Tensor], GlobalGenerators]:
    """Returns the states of torch's, NumPy's and Python's own generators."""
    of_numpy: dict[str, Any] = np.random.get_state(legacy=False)
    version, internal, python_gauss = random.getstate()
    tensors = {
        "torch_generator": torch.get_rng_state(),
        "numpy_generator": torch.from_numpy(of_numpy["state"]["key"].astype(np.int64)),
        "python_generator": torch.tensor(internal, dtype=torch.int64),
    }
    values = GlobalGenerators(
        of_numpy["state"]["pos"], of_numpy["has_gauss"], of_numpy["gauss"], version, python_gauss
    )
    return tensors, values


def restore_global_generators(tensors: Mapping[str, Tensor], values: GlobalGenerators) -> None:
    """Sets what :func:`global_generators` returned.

    Raises:
        KeyError: If a tensor is missing.
        RuntimeError: If torch's state does not fit.
        ValueError: If another one does not.
    """
    torch.set_rng_state(tensors["torch_generator"])
    keys = tensors["numpy_generator"].numpy().astype(np.uint32)
    gauss = values.numpy_has_gauss, values.numpy_gauss
    np.random.set_state(("MT19937", keys, values.numpy_position, *gauss))
    internal = tuple(tensors["python_generator"].tolist())
    random.setstate((values.python_version, internal, values.python_gauss))
