"""The device that a model is asked to compute on."""

from __future__ import annotations

import torch


def find_device(device: str | torch.device) -> torch.device:
    """Returns a device if this machine has it: SB3 would take the CPU without a word.

    Args:
        device: Of PyTorch, such as ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ValueError: If there is no such device.
    """
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device={device!r} is not a device of PyTorch: expected 'cpu', 'cuda' or 'cuda:1'."
        ) from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={str(device)!r} was asked for, but torch {torch.__version__} finds no GPU "
            "here; leave it out, or see core-repr doctor."
        )
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={str(device)!r} was asked for, but there are {torch.cuda.device_count()} GPUs."
        )
    return place
