"""The recurrent state-space model: how z_t follows from z_{t−1}, a_{t−1} and x_t (Appendix A)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import WorldModelConfig
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import LayerNormGRUCell, mlp, orthogonal_linear
from core_repr.world_model.unroll import Recurrence, Unroll, Weights

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


class RSSM(nn.Module):
    """GRU_MLP, GRUCell, ObsMLP, PriorMLP and PosteriorMLP.

    Args:
        config: Sizes.
        action_size: Number of action dimensions.
        input_size: Size of what is observed: the encoding x, and what joins it.
    """

    def __init__(self, config: WorldModelConfig, action_size: int, input_size: int) -> None:
        super().__init__()
        h, s = config.deterministic_size, config.stochastic_size
        observation_size = config.observation_layers[-1]
        # The last layer's ELU and LayerNorm's affine come together, or not at all.
        elu = config.observation_output == "elu"
        *hidden, last = config.observation_layers
        self.observation_mlp = nn.Sequential(
            mlp(input_size, config.observation_layers) if elu else mlp(input_size, hidden, last),
            nn.LayerNorm(observation_size, elementwise_affine=elu),
        )
        self.recurrent_mlp = mlp(s + action_size, config.recurrent_layers)
        self.cell = LayerNormGRUCell(config.recurrent_layers[-1], h)
        self.prior_mlp = mlp(h, config.prior_layers, 2 * s)
        # The first layer of PosteriorMLP stands apart: its share for x needs no recurrence.
        first, *further = config.posterior_layers
        self.posterior_input = orthogonal_linear(h + observation_size, first)
        self.posterior_mlp = nn.Sequential(nn.ELU(), mlp(first, further, 2 * s))
        normalize = config.normalize_statistics
        self.prior_norm = nn.LayerNorm(2 * s) if normalize else nn.Identity()
        self.posterior_norm = nn.LayerNorm(2 * s) if normalize else nn.Identity()
        self.log_std_offset = config.log_std_offset
        self.initial_std = config.initial_std
        self.stochastic_size = s
        self.deterministic_size = h

    def initial_state(self, batch_size: int) -> LatentState:
        """Returns the state before the first frame: h = 0, s = 0."""
        weight = self.cell.norm.weight
        zeros = weight.new_zeros(batch_size, self.stochastic_size)
        return LatentState(
            weight.new_zeros(batch_size, self.deterministic_size), zeros, zeros, zeros
        )

    def prior(
        self, h: Float[Tensor, "*batch h"], noise: Float[Tensor, "*batch s"] | None
    ) -> LatentState:
        """Returns the state ẑ that is expected from h alone."""
        return self._state(h, self.prior_norm(self.prior_mlp(h).float()), noise)

    def project(self, observed: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch p"]:
        """Returns what the posterior's first layer adds for a frame; it needs no recurrence."""
        weight = self.posterior_input.weight[:, self.deterministic_size :]
        return F.linear(self.observation_mlp(observed), weight, self.posterior_input.bias)

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
            noise: Draws of this step; ``None`` lets the means go on.
        """
        # Not by a product with zero: what is not finite must not outlive its episode.
        first = is_first[:, None]
        sample = state.sample.masked_fill(first, 0)
        if noise is not None and self.initial_std:
            sample = torch.where(first, self.initial_std * noise.initial, sample)
        h = self.advance(
            state.h.masked_fill(first, 0), sample, previous_action.masked_fill(first, 0)
        )
        if self.initial_std is None:
            h = h.masked_fill(first, 0)
        weight = self.posterior_input.weight[:, : self.deterministic_size]
        hidden = projected + F.linear(h, weight)
        statistics = self.posterior_norm(self.posterior_mlp(hidden).float())
        return self._state(h, statistics, None if noise is None else noise.posterior)

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
            noise: Draws; ``None`` lets the means go on.
        """
        start = projected.new_zeros(*is_first.shape, self.stochastic_size, dtype=torch.float32)
        if noise is not None and self.initial_std:
            start = self.initial_std * noise.initial
        layers = [layer for layer in self.recurrent_mlp if isinstance(layer, nn.Linear)]
        posterior = [
            layer for layer in self.posterior_mlp.modules() if isinstance(layer, nn.Linear)
        ]
        norm = self.posterior_norm if isinstance(self.posterior_norm, nn.LayerNorm) else None
        device = projected.device.type
        autocast = torch.is_autocast_enabled(device)
        weight = self.cell.norm.weight
        form = Recurrence(
            len(layers),
            len(posterior),
            self.initial_std is not None,
            norm is not None,
            self.cell.norm.eps,
            self.cell.update_bias,
            self.log_std_offset,
            LOG_STD_BOUND,
            torch.get_autocast_dtype(device) if autocast else weight.dtype,
        )
        weights = Weights(
            [(layer.weight, layer.bias) for layer in layers],
            self.cell.gates.weight,
            (weight, self.cell.norm.bias),
            self.posterior_input.weight[:, : self.deterministic_size],
            [(layer.weight, layer.bias) for layer in posterior],
            None if norm is None else (norm.weight, norm.bias),
        )
        sample_noise = None if noise is None else noise.posterior
        with torch.autocast(device, enabled=False):
            outputs = Unroll.apply(
                form, projected, actions, is_first, start, sample_noise, *weights.flat()
            )
        return LatentState(*outputs)

    def advance(
        self, h: Float[Tensor, "b h"], sample: Float[Tensor, "b s"], action: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b h"]:
        """Returns the next h; it is never sampled."""
        next_h: Tensor = self.cell(self.recurrent_mlp(torch.cat([sample, action], -1)), h)
        return next_h

    def _state(
        self,
        h: Float[Tensor, "*batch h"],
        statistics: Float[Tensor, "*batch statistics"],
        noise: Float[Tensor, "*batch s"] | None,
    ) -> LatentState:
        mean, log_std = statistics.chunk(2, -1)
        log_std = (log_std + self.log_std_offset).clamp(-LOG_STD_BOUND, LOG_STD_BOUND)
        sample = mean if noise is None else mean + log_std.exp() * noise
        return LatentState(h, mean, log_std, sample)
