"""Which frames are changed."""

import torch
from torch import Tensor


def half(count: int, generator: torch.Generator) -> Tensor:
    """Returns the indices of half of so many frames, chosen at random."""
    return torch.randperm(count, generator=generator)[: count // 2]
