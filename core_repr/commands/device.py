"""The device that a command is asked to compute on."""

from __future__ import annotations


def check_device(device: str) -> str:
    """Returns the device if this machine has it: SB3 would take the CPU without a word.

    Raises:
        ValueError: If there is no such device.
    """
    import torch

    if device == "auto":
        return device
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise ValueError(f'--device is "auto", "cpu" or "cuda", not {device!r}.') from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"--device is {device}, but torch {torch.__version__} finds no such GPU; leave it out "
            "to take what there is, or see core-repr doctor."
        )
    return device
