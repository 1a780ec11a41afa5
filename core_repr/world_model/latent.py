"""The latent state z = [h, s] of the recurrent state-space model."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class LatentState(NamedTuple):
    """A batch of latent states; all fields are float32 and share their leading dimensions.

    Attributes:
        h: Deterministic recurrent state.
        mean: Mean of the stochastic state.
        log_std: Logarithm of its standard deviation.
        sample: The stochastic state s itself, drawn from that normal distribution.
    """

    h: Float[Tensor, "*batch h"]
    mean: Float[Tensor, "*batch s"]
    log_std: Float[Tensor, "*batch s"]
    sample: Float[Tensor, "*batch s"]

    @property
    def features(self) -> Float[Tensor, "*batch z"]:
        """[h, mean]: what agents see."""
        return torch.cat([self.h, self.mean], -1)

    @property
    def sample_features(self) -> Float[Tensor, "*batch z"]:
        """[h, sample]: what the heads of the world model see."""
        return torch.cat([self.h, self.sample], -1)

    def detach(self) -> "LatentState":
        """Returns the same state, cut from the graph."""
        return LatentState(*(field.detach() for field in self))

    def at(self, index: slice | int | Tensor) -> "LatentState":
        """Indexes the first dimension of every field."""
        return LatentState(*(field[index] for field in self))
