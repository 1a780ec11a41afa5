"""J_M: the weighted sum of the objectives that a model has."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core_repr.config import ObjectivesConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.encoders import Encoder
from core_repr.world_model.objectives.objective import Objective, WorldModelLosses

Kind = TypeVar("Kind", bound=Objective)


class Objectives(nn.ModuleDict):
    """Slot of the config → objective, for the slots that are not empty.

    Args:
        config: The objectives.
        build: Makes the module of each.
    """

    def __init__(self, config: ObjectivesConfig, build: Callable[[object], Any]) -> None:
        parts = {slot.name: getattr(config, slot.name) for slot in dataclasses.fields(config)}
        super().__init__({slot: build(part) for slot, part in parts.items() if part is not None})

    @property
    def groups(self) -> dict[str, str]:
        """Name of a parameter → its group, where it is not the model's."""
        return {
            f"{slot}.{name}": group
            for slot in self
            for name, group in cast("Objective", self[slot]).groups.items()
        }

    def objective(self, slot: str, kind: type[Kind]) -> Kind:
        """Returns the objective in a slot.

        Args:
            slot: Its name.
            kind: What it must be.

        Raises:
            ValueError: If the slot is empty or holds another kind.
        """
        found = self[slot] if slot in self else None  # noqa: SIM401
        if not isinstance(found, kind):
            raise ValueError(
                f"The model was trained without the objective {slot!r} that this needs; train one "
                "with it, such as the variant 'core'."
            )
        return found

    def forward(self, observed: Observed) -> WorldModelLosses:
        """Returns J_M and its terms for what a model made of a mini-batch."""
        total, terms = torch.zeros((), device=observed.x.device), {}
        for objective in self.values():
            objective = cast("Objective", objective)
            term = terms[objective.name] = objective(observed)
            total = total + objective.weight * term.loss
        return WorldModelLosses(total, terms)

    def weighted(self, observed: Observed, slots: Iterable[str]) -> Float[Tensor, ""]:
        """Returns the weighted sum of some terms alone.

        Args:
            observed: What a model made of a mini-batch.
            slots: Of the objectives.
        """
        total = torch.zeros((), device=observed.x.device)
        for slot in slots:
            objective = cast("Objective", self[slot])
            total = total + objective.weight * objective(observed).loss
        return total

    @property
    def views(self) -> int:
        """How many views of the frames they compare."""
        return max((cast("Objective", each).views for each in self.values()), default=1)

    @property
    def frames_alone(self) -> bool:
        """Whether none of them looks at how a frame follows from the one before."""
        return all(cast("Objective", each).frames_alone for each in self.values())

    def after_step(self, encoder: Encoder) -> None:
        """Is called when the slow copies follow, after a step of the model's optimiser."""
        for objective in self.values():
            cast("Objective", objective).after_step(encoder)

    def diagnostics(self) -> dict[str, Float[Tensor, ""]]:
        """Returns name → value of what the log shows besides the losses."""
        return {
            name: value
            for objective in self.values()
            for name, value in cast("Objective", objective).diagnostics().items()
        }
