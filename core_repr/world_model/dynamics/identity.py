"""No state-space model: z is the encoding of the newest frames."""

from jaxtyping import Bool, Float
from torch import Tensor

from core_repr.config import IdentityDynamicsConfig
from core_repr.world_model.dynamics.dynamics import Dynamics, Noise
from core_repr.world_model.latent import LatentState


class IdentityDynamics(Dynamics):
    """The encoding itself is h; there is no s, and nothing predicts the next one.

    Args:
        config: Nothing but the kind.
        action_size: Not used.
        input_size: Size of what is observed: the encoding x, and what joins it.
        with_prior: False.
    """

    stochastic_size = 0
    prior_mlp = None

    def __init__(
        self,
        config: IdentityDynamicsConfig,
        action_size: int,
        input_size: int,
        with_prior: bool,
    ) -> None:
        super().__init__()
        self.deterministic_size = input_size

    def project(self, observed: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch p"]:
        """Returns the observation."""
        return observed

    def step(
        self,
        state: LatentState,
        previous_action: Float[Tensor, "b a"],
        projected: Float[Tensor, "b p"],
        is_first: Bool[Tensor, " b"],
        noise: Noise | None,
    ) -> LatentState:
        """Returns what was just observed; see :meth:`Dynamics.step`."""
        nothing = projected.new_empty(len(projected), 0)
        return LatentState(projected, nothing, nothing, nothing)

    def priors(
        self,
        posterior: LatentState,
        actions: Float[Tensor, "t b a"],
        is_first: Bool[Tensor, "t b"],
        noise: Float[Tensor, "t b s"] | None,
    ) -> LatentState:
        """There are none; no model of this kind has a prior."""
        raise NotImplementedError

    def predict(
        self,
        state: LatentState,
        action: Float[Tensor, "b a"],
        noise: Float[Tensor, "b s"] | None,
    ) -> LatentState:
        """There is none; no model of this kind has a prior."""
        raise NotImplementedError
