"""The recurrent state-space model: how z_t follows from z_{t−1}, a_{t−1} and x_t (Appendix A)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import RecurrentDynamicsConfig
from core_repr.world_model.dynamics.dynamics import LOG_STD_BOUND, Noise, StateSpaceModel
from core_repr.world_model.dynamics.unroll import Recurrence, Unroll, Weights
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import LayerNormGRUCell, mlp, orthogonal_linear


class RecurrentDynamics(StateSpaceModel):
    """GRU_MLP, GRUCell, ObsMLP, PriorMLP and PosteriorMLP.

    Args:
        config: Sizes.
        action_size: Number of action dimensions.
        input_size: Size of what is observed: the encoding x, and what joins it.
        with_prior: Whether something needs the prior.
    """

    def __init__(
        self, config: RecurrentDynamicsConfig, action_size: int, input_size: int, with_prior: bool
    ) -> None:
        super().__init__(config, input_size)
        h, s = config.deterministic_size, config.stochastic_size
        self.recurrent_mlp = mlp(s + action_size, config.recurrent_layers)
        self.cell = LayerNormGRUCell(config.recurrent_layers[-1], h)
        self.prior_mlp = mlp(h, config.prior_layers, 2 * s) if with_prior else None
        # The first layer of PosteriorMLP stands apart: its share for x needs no recurrence.
        first, *further = config.posterior_layers
        self.posterior_input = orthogonal_linear(h + config.observation_layers[-1], first)
        self.posterior_mlp = nn.Sequential(nn.ELU(), mlp(first, further, 2 * s))
        normalize = config.normalize_statistics
        self.prior_norm = nn.LayerNorm(2 * s) if normalize and with_prior else nn.Identity()
        self.posterior_norm = nn.LayerNorm(2 * s) if normalize else nn.Identity()
        self.initial_std = config.initial_std

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
        """Returns the posterior after one more frame; see :meth:`Dynamics.step`."""
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
        return self.normal(h, statistics, None if noise is None else noise.posterior)

    def observe(
        self,
        projected: Float[Tensor, "t b p"],
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Noise | None,
    ) -> LatentState:
        """Returns what :meth:`step` does from frame to frame, with the gradient written out.

        See :meth:`Dynamics.observe`.
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

    def priors(
        self,
        posterior: LatentState,
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Float[Tensor, "t b s"] | None,
    ) -> LatentState:
        """Returns the priors, which h alone tells; see :meth:`Dynamics.priors`."""
        return self._prior(posterior.h, noise)

    def predict(
        self,
        state: LatentState,
        action: Float[Tensor, "b a"],
        noise: Float[Tensor, "b s"] | None,
    ) -> LatentState:
        """Returns the prior after one more action; see :meth:`Dynamics.predict`."""
        return self._prior(self.advance(state.h, state.sample, action), noise)

    def prior_of(self, state: LatentState) -> LatentState:
        """Returns the prior, with its mean, at the frame that a posterior was inferred at."""
        return self._prior(state.h, None)

    def _prior(
        self, h: Float[Tensor, "*batch h"], noise: Float[Tensor, "*batch s"] | None
    ) -> LatentState:
        """Returns the state ẑ that is expected from h alone."""
        assert self.prior_mlp is not None
        return self.normal(h, self.prior_norm(self.prior_mlp(h).float()), noise)

    def advance(
        self, h: Float[Tensor, "b h"], sample: Float[Tensor, "b s"], action: Float[Tensor, "b a"]
    ) -> Float[Tensor, "b h"]:
        """Returns the next h; it is never sampled."""
        next_h: Tensor = self.cell(self.recurrent_mlp(torch.cat([sample, action], -1)), h)
        return next_h
