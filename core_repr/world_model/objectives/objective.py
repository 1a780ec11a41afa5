"""What a term of J_M is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from core_repr.world_model.batch import Observed
from core_repr.world_model.encoders import Encoder


class Sizes(NamedTuple):
    """What the head of an objective may depend on: sizes, and the encoder.

    Attributes:
        features: Of [h, s].
        encoding: Of the encoding of a frame alone.
        observation: Of the encoding x, joined by that of the proprioception.
        action: Number of action dimensions.
        side: Of the frames that the encoder sees, in pixels.
        encoder: The encoder itself, of which an objective may keep a copy.
    """

    features: int
    encoding: int
    observation: int
    action: int
    side: int
    encoder: Encoder


class Term(NamedTuple):
    """The value of an objective for a mini-batch.

    Attributes:
        loss: Averaged over what is scored, without its weight.
        chance: The loss of a model that knows nothing; ``None`` where there is no such value.
    """

    loss: Float[Tensor, ""]
    chance: Float[Tensor, ""] | None = None


class WorldModelLosses(NamedTuple):
    """J_M and its terms for a mini-batch.

    Attributes:
        total: J_M.
        terms: Name of an objective → its term, unweighted.
    """

    total: Float[Tensor, ""]
    terms: Mapping[str, Term]

    def named(self) -> dict[str, Float[Tensor, ""]]:
        """Returns name → value of all that is logged: losses, their values at chance, J_M."""
        values = {}
        for name, term in self.terms.items():
            values[name] = term.loss.detach()
            if term.chance is not None:
                values[f"{name.removesuffix('_loss')}_chance"] = term.chance
        return {**values, "model_loss": self.total.detach()} if values else {}


class Objective(nn.Module, ABC):
    """A term of J_M together with the head that it trains.

    Attributes:
        name: What logs and plots call the loss.
        groups: Name of a parameter → its group in :meth:`CoReWorldModel.parameter_groups`, where
            it is not ``"model"``.
        views: How many views of the frames, changed at random each in its own way, it compares.
        frames_alone: Whether it does not look at how a frame follows from the one before.
        weight: Of the term in J_M.
    """

    name: ClassVar[str]
    groups: ClassVar[Mapping[str, str]] = {}
    views: ClassVar[int] = 1
    frames_alone: ClassVar[bool] = False
    weight: float

    @abstractmethod
    def forward(self, observed: Observed) -> Term:
        """Scores what a model made of a mini-batch."""

    def after_step(self, encoder: Encoder) -> None:
        """Is called when the slow copies follow, after a step of the model's optimiser."""

    def diagnostics(self) -> Mapping[str, Float[Tensor, ""]]:
        """Returns name → value of what the log shows besides the loss."""
        return {}
