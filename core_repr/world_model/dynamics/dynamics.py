"""What every state-space model can do."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core_repr.config import FeedForwardDynamicsConfig, RecurrentDynamicsConfig
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp

LOG_STD_BOUND = 10.0
"""Logarithms of standard deviations are clamped to plus and minus this."""


class Noise(NamedTuple):
    """Standard normal draws for one step of a batch, or for a sequence of them.

    Attributes:
        initial: Draws the stochastic state before the first frame of an episode.
        prior: Draws ŝ.
        posterior: Draws s.
    """

    initial: Float[Tensor, "*batch s"]
    prior: Float[Tensor, "*batch s"]
    posterior: Float[Tensor, "*batch s"]


class Dynamics(nn.Module, ABC):
    """How z_t follows from z_{t−1}, a_{t−1} and what is observed.

    Attributes:
        stochastic_size: Size of s.
        deterministic_size: Size of h.
        prior_mlp: ``None`` in a model that nothing asks for the prior.
    """

    stochastic_size: int
    deterministic_size: int
    prior_mlp: nn.Sequential | None

    def initial_state(self, batch_size: int, device: torch.device) -> LatentState:
        """Returns the state before the first frame: h = 0, s = 0."""
        zeros = torch.zeros(batch_size, self.stochastic_size, device=device)
        h = torch.zeros(batch_size, self.deterministic_size, device=device)
        return LatentState(h, zeros, zeros, zeros)

    @abstractmethod
    def project(self, observed: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch p"]:
        """Returns what the posterior makes of an observation; it needs no state."""

    @abstractmethod
    def step(
        self,
        state: LatentState,
        previous_action: Float[Tensor, "b a"],
        projected: Float[Tensor, "b p"],
        is_first: Bool[Tensor, " b"],
        noise: Noise | None,
    ) -> LatentState:
        """Returns the posterior after one more frame.

        Args:
            state: The posterior after the frame before.
            previous_action: Action in [−1, 1] between the two frames.
            projected: :meth:`project` of the frame's encoding.
            is_first: Rows whose frame is the first one of an episode; their ``state`` and
                ``previous_action`` do not count.
            noise: Draws of this step; ``None`` lets the means continue.
        """

    def observe(
        self,
        projected: Float[Tensor, "t b p"],
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Noise | None,
    ) -> LatentState:
        """Returns what :meth:`step` does from frame to frame, for whole sequences.

        Args:
            projected: :meth:`project` of the encodings.
            actions: In [−1, 1]; ``actions[t]`` led to frame t.
            is_first: Frames at which an episode starts; the first ones do.
            noise: Draws; ``None`` lets the means continue.
        """
        state, states = self.initial_state(is_first.shape[1], projected.device), []
        for t, first in enumerate(is_first):
            drawn = None if noise is None else Noise(*(draws[t] for draws in noise))
            state = self.step(state, actions[t], projected[t], first, drawn)
            states.append(state)
        return LatentState.stack(states)

    @abstractmethod
    def priors(
        self,
        posterior: LatentState,
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Float[Tensor, "t b s"] | None,
    ) -> LatentState:
        """Returns the prior ẑ at every frame of sequences.

        Args:
            posterior: What :meth:`observe` returned for
            actions: these, and
            is_first: these.
            noise: Draws ŝ; ``None`` for the means.
        """

    @abstractmethod
    def predict(
        self,
        state: LatentState,
        action: Float[Tensor, "b a"],
        noise: Float[Tensor, "b s"] | None,
    ) -> LatentState:
        """Returns the prior ẑ after one more action, without a frame.

        Args:
            state: The state before.
            action: In [−1, 1].
            noise: Draws ŝ; ``None`` for the mean.
        """

    def prior_of(self, state: LatentState) -> LatentState:
        """Returns the prior ẑ, with its mean, at the frame that a posterior was inferred at.

        Raises:
            ValueError: If the posterior does not tell it.
        """
        raise ValueError(
            "The prior of a frame is not part of the latent state of a model without recurrence; "
            "choose the posterior's features."
        )


class StateSpaceModel(Dynamics):
    """Dynamics with a normally distributed s.

    Args:
        config: Sizes.
        input_size: Size of what is observed: the encoding x, and what joins it.
    """

    def __init__(
        self, config: RecurrentDynamicsConfig | FeedForwardDynamicsConfig, input_size: int
    ) -> None:
        super().__init__()
        self.stochastic_size = config.stochastic_size
        self.deterministic_size = config.deterministic_size
        self.log_std_offset = config.log_std_offset
        # The last layer's ELU and LayerNorm's affine come together, or not at all.
        elu = config.observation_output == "elu"
        *hidden, last = config.observation_layers
        self.observation_mlp = nn.Sequential(
            mlp(input_size, config.observation_layers) if elu else mlp(input_size, hidden, last),
            nn.LayerNorm(last, elementwise_affine=elu),
        )

    def normal(
        self,
        h: Float[Tensor, "*batch h"],
        statistics: Float[Tensor, "*batch statistics"],
        noise: Float[Tensor, "*batch s"] | None,
    ) -> LatentState:
        """Returns a state of h and the joined mean and log standard deviation of s."""
        mean, log_std = statistics.chunk(2, -1)
        log_std = (log_std + self.log_std_offset).clamp(-LOG_STD_BOUND, LOG_STD_BOUND)
        sample = mean if noise is None else mean + log_std.exp() * noise
        return LatentState(h, mean, log_std, sample)
