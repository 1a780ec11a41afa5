"""What a model learns from: a mini-batch, and what the model made of it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from core_repr.world_model.latent import LatentState


class SequenceBatch(NamedTuple):
    """A time-major mini-batch of sequences, each from one episode or from several in a row.

    Attributes:
        frames: ``(T, B, side, side, 3)`` uint8.
        actions: ``(T, B, A)`` in [−1, 1]; ``actions[t]`` follows ``frames[t]``.
        rewards: ``(T, B)``; ``rewards[t]`` follows ``actions[t]``.
        is_first: ``(T, B)``; the recurrent state starts afresh at this frame, which does not follow
            the one before.
        terminated: ``(T, B)``; the episode terminated (was not just cut off) after
            ``actions[t]``.
        mask: ``(T, B)``; false for padding.
        proprioception: ``(T, B, P)``, together with the frames; P is 0 if there is none.
    """

    frames: UInt8[Tensor, "t b side side 3"]
    actions: Float[Tensor, "t b a"]
    rewards: Float[Tensor, "t b"]
    is_first: Bool[Tensor, "t b"]
    terminated: Bool[Tensor, "t b"]
    mask: Bool[Tensor, "t b"]
    proprioception: Float[Tensor, "t b p"]

    @property
    def follows(self) -> Bool[Tensor, "pairs b"]:
        """Whether each frame but the first comes after the one before it, in the same episode."""
        return self.mask[1:] & ~self.is_first[1:]

    def to(self, device: torch.device) -> "SequenceBatch":
        """Returns the batch on ``device``."""
        return SequenceBatch(*(field.to(device, non_blocking=True) for field in self))


class OtherViews(NamedTuple):
    """The frames of a mini-batch in other forms, for objectives that look at them.

    Attributes:
        whole: As they came, where the mini-batch holds what was made of them at random; ``None``
            where it holds them as they are.
        second: Changed at random once more, for objectives that compare two views.
    """

    whole: UInt8[Tensor, "t b height height 3"] | None = None
    second: UInt8[Tensor, "t b side side channels"] | None = None


NO_OTHER_VIEWS = OtherViews()
"""Of a mini-batch whose frames are as they came."""


class Observed(NamedTuple):
    """A mini-batch with what a model made of it, which its objectives score.

    Attributes:
        batch: The mini-batch.
        x: The encodings of its frames and proprioception.
        prior: The states ẑ; ``None`` in a model without a prior.
        posterior: The states z.
        others: Other views of the frames; the second one as the encoder takes it.
    """

    batch: SequenceBatch
    x: Float[Tensor, "t b x"]
    prior: LatentState | None
    posterior: LatentState
    others: OtherViews = NO_OTHER_VIEWS
