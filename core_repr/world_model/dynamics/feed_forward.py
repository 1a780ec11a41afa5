"""A state-space model without recurrence: z is s alone (Figure 3)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from core_repr.config import FeedForwardDynamicsConfig
from core_repr.world_model.dynamics.dynamics import Noise, StateSpaceModel
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp


class FeedForwardDynamics(StateSpaceModel):
    """ObsMLP and PosteriorMLP of the observation, PriorMLP of the state and the action before.

    Args:
        config: Sizes.
        action_size: Number of action dimensions.
        input_size: Size of what is observed: the encoding x, and what joins it.
        with_prior: Whether something needs the prior.
    """

    def __init__(
        self,
        config: FeedForwardDynamicsConfig,
        action_size: int,
        input_size: int,
        with_prior: bool,
    ) -> None:
        super().__init__(config, input_size)
        s, normalize = config.stochastic_size, config.normalize_statistics
        self.prior_mlp = mlp(s + action_size, config.prior_layers, 2 * s) if with_prior else None
        self.posterior_mlp = mlp(config.observation_layers[-1], config.posterior_layers, 2 * s)
        self.prior_norm = nn.LayerNorm(2 * s) if normalize and with_prior else nn.Identity()
        self.posterior_norm = nn.LayerNorm(2 * s) if normalize else nn.Identity()

    def project(self, observed: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch p"]:
        """Returns the statistics of the posterior."""
        statistics = self.posterior_mlp(self.observation_mlp(observed)).float()
        normed: Tensor = self.posterior_norm(statistics)
        return normed

    def step(
        self,
        state: LatentState,
        previous_action: Float[Tensor, "b a"],
        projected: Float[Tensor, "b p"],
        is_first: Bool[Tensor, " b"],
        noise: Noise | None,
    ) -> LatentState:
        """Returns the posterior of the frame alone; see :meth:`Dynamics.step`."""
        return self.normal(
            projected.new_empty(len(projected), 0),
            projected,
            None if noise is None else noise.posterior,
        )

    def priors(
        self,
        posterior: LatentState,
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Float[Tensor, "t b s"] | None,
    ) -> LatentState:
        """Returns the priors; a standard normal distribution where an episode starts."""
        before = torch.cat([torch.zeros_like(posterior.sample[:1]), posterior.sample[:-1]])
        prior = self.predict(posterior._replace(sample=before), actions, noise)
        mean, log_std = (
            field.masked_fill(is_first[..., None], 0) for field in (prior.mean, prior.log_std)
        )
        sample = mean if noise is None else mean + log_std.exp() * noise
        return prior._replace(mean=mean, log_std=log_std, sample=sample)

    def predict(
        self,
        state: LatentState,
        action: Float[Tensor, "*batch a"],
        noise: Float[Tensor, "*batch s"] | None,
    ) -> LatentState:
        """Returns the prior after one more action; see :meth:`Dynamics.predict`."""
        assert self.prior_mlp is not None
        statistics = self.prior_mlp(torch.cat([state.sample, action], -1)).float()
        return self.normal(state.h, self.prior_norm(statistics), noise)
