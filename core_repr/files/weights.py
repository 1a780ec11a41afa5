"""Weights of modules as safetensors, never a pickle.

Whatever is read may be a stranger's. Sizes, names, shapes and types are checked against the module
before anything is allocated for them, and what was checked is what is loaded.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from core_repr.files.names import MAX_WEIGHT_BYTES
from core_repr.files.reading import open_file, shorten
from core_repr.files.strict_json import parse_json

MAX_HEADER_BYTES = 1_000_000
LENGTH_BYTES = 8
CHECKSUM = "sha256"
"""In the metadata: of the tensors."""

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""Those of other names are not a module's."""

METADATA = {CHECKSUM, "format"}
"""Others are refused: one flipped bit must not hide the checksum."""

COMPILED = "_orig_mod."
"""What ``torch.compile`` puts before the names of a module's tensors."""

Module = TypeVar("Module", bound=nn.Module)

Tensors = Mapping[str, tuple[torch.dtype | str, tuple[int, ...]]]
"""Name → type and shape."""

_TENSORS = {
    "rssm.": "dynamics.",
    "decoder.": "objectives.frames.decoder.",
    "inverse_temperature_logit": "objectives.frames.inverse_temperature_logit",
    "reward_head.": "objectives.reward.head.",
    "inverse_dynamics_head.": "objectives.inverse_dynamics.head.",
}
"""How the names of a model's tensors begin up to version 8, and what follows from version 9 on."""


def current_name(tensor: str) -> str:
    """Returns the name that a tensor of a model of any version has today."""
    for old, new in _TENSORS.items():
        if tensor.startswith(old):
            return new + tensor.removeprefix(old)
    return tensor


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
    with open_file(path) as file:
        metadata, declared = _read_header(path, file, expected)
        file.seek(0)
        # What has grown since is cut, and refused as such.
        content = file.read(LENGTH_BYTES + MAX_HEADER_BYTES + _bytes(expected))
    header = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    checksum = metadata.get(CHECKSUM)
    if checksum is not None and checksum != _checksum(content, header):
        # Of tensors of other sizes, another number of bytes was read.
        _refuse_others(path, declared, _of_module(expected))
        raise _broken(path, "differs from its own checksum")
    try:
        loaded = {current_name(name): value for name, value in from_safetensors(content).items()}
    except SafetensorError as error:
        raise _broken(path, f"is not whole ({shorten(error)})") from None
    del content
    _refuse_others(path, _of_module(loaded), _of_module(expected))
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
    expected = state(module)
    with open_file(path) as file:
        _read_header(path, file, expected)
    try:
        with safe_open(path, framework="pt") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            found = {
                current_name(name): (
                    DTYPES.get(each.get_dtype(), each.get_dtype()),
                    tuple(each.get_shape()),
                )
                for name, each in slices.items()
            }
    except SafetensorError as error:
        raise _broken(path, f"is not whole ({shorten(error)})") from None
    _refuse_others(path, found, _of_module(expected))


def _read_header(
    path: Path, file: BinaryIO, expected: Mapping[str, torch.Tensor]
) -> tuple[dict[str, str], Tensors]:
    """Checks what safetensors does not: sizes, names that occur twice, and words beside tensors.

    Returns:
        The words, and what the file says that its tensors are.
    """
    size, needed = os.fstat(file.fileno()).st_size, _bytes(expected)
    if max(size, needed) > MAX_WEIGHT_BYTES:
        raise ValueError(
            f"{path}: {max(size, needed):,} bytes of weights are more than the "
            f"{MAX_WEIGHT_BYTES:,} that a model may have."
        )
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise _broken(path, f"has a header of {length:,} bytes, more than {MAX_HEADER_BYTES:,}")
    try:
        fields = parse_json(file.read(length))
    except ValueError as error:
        raise _broken(path, f"has a header that is not valid JSON: {error}") from None
    metadata = fields.get("__metadata__", {}) if isinstance(fields, dict) else None
    if not isinstance(metadata, dict) or any(not isinstance(v, str) for v in metadata.values()):
        raise _broken(path, "has a header or metadata of another form")
    if unknown := metadata.keys() - METADATA:
        raise _broken(path, f"has unknown metadata, {_quote(min(unknown))}")
    tensors = {name: each for name, each in fields.items() if name != "__metadata__"}
    try:
        return metadata, {
            current_name(name): (DTYPES.get(each["dtype"], each["dtype"]), tuple(each["shape"]))
            for name, each in tensors.items()
        }
    except (KeyError, TypeError):
        raise _broken(path, "has a header or metadata of another form") from None


def _bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _of_module(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def _refuse_others(path: Path, found: Tensors, expected: Tensors) -> None:
    try:
        _compare(found, expected)
    except ValueError as error:
        raise ValueError(
            f"{path} {error}, so it does not belong to the config beside it; "
            "fetch or save both again."
        ) from None


def _compare(found: Tensors, expected: Tensors) -> None:
    """Refuses the first difference; the message is a clause without a subject."""
    for names, what in (
        (expected.keys() - found.keys(), "lacks"),
        (found.keys() - expected.keys(), "has an unknown"),
    ):
        if names:
            raise ValueError(f"{what} tensor {_quote(min(names))}")
    for name, (dtype, shape) in expected.items():
        if found[name][1] != shape:
            raise ValueError(f"has tensor {name!r} with shape {found[name][1]} instead of {shape}")
        if found[name][0] != dtype:
            raise ValueError(f"has tensor {name!r} as {found[name][0]} instead of {dtype}")


def check_module(name: str, module: nn.Module, blank: nn.Module) -> None:
    """Refuses a module whose weights could not be loaded again.

    Args:
        name: Of the file.
        module: What is to be saved.
        blank: As in :func:`serialized`.

    Raises:
        ValueError: At the first tensor that does not fit, or holds what is not a finite number.
    """
    tensors = state(module)
    try:
        _compare(_of_module(tensors), _of_module(state(blank)))
        for key, value in tensors.items():
            if not value.is_meta and not value.isfinite().all():
                raise ValueError(f"has tensor {key!r} with values that are not finite")
        size = _bytes(tensors)
        if size > MAX_WEIGHT_BYTES:
            raise ValueError(f"has {size:,} bytes of weights, more than {MAX_WEIGHT_BYTES:,}")
        if any(value.is_meta for value in tensors.values()):
            raise ValueError("has tensors without values, on the device 'meta'")
    except ValueError as error:
        raise ValueError(
            f"{name} is not saved, because it could not be loaded again: it {error}; give the "
            "networks finite weights and the names, shapes and types of their config."
        ) from None


def serialized(name: str, module: nn.Module, blank: nn.Module) -> bytes:
    """Returns the content of a file of weights, if it could be loaded again.

    Args:
        name: Of the file.
        module: Whose weights they are.
        blank: What a loader will make of the config; its device may be ``meta``.

    Raises:
        ValueError: If :func:`load_weights` would refuse it.
    """
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
    return ValueError(
        f"{path} is not a sound safetensors file: it {clause}; fetch or save it again."
    )


def _quote(name: str) -> str:
    shortened = name if len(name) <= 60 else f"{name[:60]}…"
    return '"' + shortened.encode("unicode_escape").decode() + '"'
