"""What a model learns from: a mini-batch, and what the model made of it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from core_repr.world_model.latent import LatentState


class SequenceBatch(NamedTuple):
    """A time-major mini-batch of sequences; none crosses the end of an episode.

    Attributes:
        frames: ``(T, B, side, side, 3)`` uint8.
        actions: ``(T, B, A)`` in [−1, 1]; ``actions[t]`` follows ``frames[t]``.
        rewards: ``(T, B)``; ``rewards[t]`` follows ``actions[t]``.
        is_first: ``(T, B)``; the recurrent state starts afresh at this frame.
        terminated: ``(T, B)``; the episode terminated (was not just cut off) after
            ``actions[t]``.
        mask: ``(T, B)``; false for the padding after the end of a short episode.
        proprioception: ``(T, B, P)``, together with the frames; P is 0 if there is none.
        whole_frames: The frames as they came, where ``frames`` are a view of them that was changed
            at random; ``None`` where they are the same.
        second_view: Another such view, for objectives that compare two.
    """

    frames: UInt8[Tensor, "t b side side 3"]
    actions: Float[Tensor, "t b a"]
    rewards: Float[Tensor, "t b"]
    is_first: Bool[Tensor, "t b"]
    terminated: Bool[Tensor, "t b"]
    mask: Bool[Tensor, "t b"]
    proprioception: Float[Tensor, "t b p"]
    whole_frames: UInt8[Tensor, "t b height height 3"] | None = None
    second_view: UInt8[Tensor, "t b side side 3"] | None = None

    def to(self, device: torch.device) -> "SequenceBatch":
        """Returns the batch on ``device``."""
        moved = (None if field is None else field.to(device, non_blocking=True) for field in self)
        return SequenceBatch(*moved)  # type: ignore[arg-type]


class Observed(NamedTuple):
    """A mini-batch with what a model made of it, which its objectives score.

    Attributes:
        batch: The mini-batch.
        x: The encodings of its frames and proprioception.
        prior: The states ẑ; ``None`` in a model without a prior.
        posterior: The states z.
        second_view: The batch's, as the encoder takes it.
    """

    batch: SequenceBatch
    x: Float[Tensor, "t b x"]
    prior: LatentState | None
    posterior: LatentState
    second_view: UInt8[Tensor, "t b side side channels"] | None = None
