"""The latent state z = [h, s] of the recurrent state-space model."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


class LatentState(NamedTuple):
    """A batch of latent states; all fields share their leading dimensions.

    It is carried from frame to frame as it is, whatever a model keeps in it.

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

    @property
    def tensors(self) -> list[Tensor]:
        """All that is carried."""
        return list(self)

    def detach(self) -> "LatentState":
        """Returns the same state, cut from the graph."""
        return self.map(Tensor.detach)

    def at(self, index: slice | int | Tensor) -> "LatentState":
        """Indexes the first dimension of every field."""
        return self.map(lambda field: field[index])

    def put(self, rows: Tensor, state: "LatentState") -> "LatentState":
        """Returns a copy in which ``state`` has taken the place of some rows.

        Args:
            rows: Indices of the first dimension, each at most once.
            state: As many states.
        """
        return self.map(lambda field, new: field.index_copy(0, rows, new), state)

    @classmethod
    def stack(cls, states: Sequence["LatentState"]) -> "LatentState":
        """Joins states along a new first dimension."""
        first, *others = states
        return first.map(lambda *fields: torch.stack(fields), *others)

    def map(self, change: Callable[..., Tensor], *others: "LatentState") -> "LatentState":
        """Returns the state of what ``change`` makes of each field, and that of ``others``."""
        tensors = (state.tensors for state in (self, *others))
        return self.of([change(*each) for each in zip(*tensors, strict=True)])

    def of(self, tensors: Sequence[Tensor]) -> "LatentState":
        """Returns a state of this kind of other tensors, in the order of :attr:`tensors`."""
        return LatentState(*tensors)


class StackedState(LatentState):
    """The latent state of a model whose encoder sees several frames at once.

    Args:
        state: The latent state.
        past_frames: The frames before, joined along their channels, which travel with it.
    """

    past_frames: UInt8[Tensor, "*batch side side channels"]

    def __new__(cls, state: LatentState, past_frames: Tensor) -> "StackedState":
        """Makes a tuple of the four fields of a latent state."""
        stacked = tuple.__new__(cls, tuple(state))
        stacked.past_frames = past_frames
        return stacked

    @property
    def tensors(self) -> list[Tensor]:
        """All that is carried."""
        return [*self, self.past_frames]

    def of(self, tensors: Sequence[Tensor]) -> "StackedState":
        """Returns a state of this kind of other tensors, in the order of :attr:`tensors`."""
        *fields, past_frames = tensors
        return StackedState(LatentState(*fields), past_frames)
