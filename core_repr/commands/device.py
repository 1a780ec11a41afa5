"""The device that a command is asked to compute on."""

from __future__ import annotations


def check_device(device: str) -> str:
    """Returns the device if this machine has it.

    Raises:
        ValueError: If there is no such device.
    """
    from core_repr.hub.devices import find_device

    if device != "auto":
        try:
            find_device(device)
        except ValueError as error:
            raise ValueError(f"--{error}") from None
    return device
