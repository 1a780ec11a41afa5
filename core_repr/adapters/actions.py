"""The environment's actions as the model knows them: numbers in [−1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, Shaped
from numpy.typing import NDArray

from core_repr.config import EnvironmentConfig


class ActionScaler:
    """Brings actions of a bounded ``Box`` to [−1, 1] and back.

    A model that was trained in an environment knows actions as their place between the bounds of
    the environment that they are for. A model of a data set knows them in the data set's units:
    their place is between the bounds that were recorded, whatever the environment takes.

    Dimensions that were constant in the training (low = high) are not among the model's.

    Args:
        space: Action space of one environment.
        trained: The environment that the model was trained in.

    Attributes:
        whole: Whether the environment takes whole numbers only.

    Raises:
        TypeError: If the space is not a ``Box`` of numbers.
        ValueError: If it is unbounded, or of another size than the model's actions.
    """

    def __init__(self, space: spaces.Space[Any], trained: EnvironmentConfig) -> None:
        box = bounded(space)
        low, high = box.low.reshape(-1), box.high.reshape(-1)
        if len(low) != len(trained.action_low):
            raise ValueError(
                f"The model was trained with {len(trained.action_low)} action dimensions "
                f"({trained.id}), but the environment has {len(low)}; take a model that was "
                "trained in it."
            )
        self.whole = bool(np.issubdtype(box.dtype, np.integer))
        self._space = box
        varies = np.less(trained.action_low, trained.action_high)
        self._varies = slice(None) if varies.all() else varies
        # As SB3 computes: float32 in a float32 space.
        dtype = np.result_type(box.dtype, np.float32)
        self._allowed = low.astype(dtype), high.astype(dtype)
        if trained.is_dataset:
            low, high = np.array(trained.action_low), np.array(trained.action_high)
        self._low, self._high = low.astype(dtype), high.astype(dtype)
        exact_low, exact_high = low.astype(np.float64), high.astype(np.float64)
        spread = exact_high - exact_low
        # An action that cannot vary is in the middle of its range.
        self._slope = np.divide(2, spread, out=np.zeros_like(spread), where=spread > 0)
        self._centre = (exact_low + exact_high) / 2

    def to_model(self, actions: Shaped[np.ndarray, "n ..."]) -> Float32[np.ndarray, "n a"]:
        """Returns a batch of actions, flat and in [−1, 1]; what is out of bounds is clipped.

        Raises:
            ValueError: If one is not finite: neither would any latent state after it be.
        """
        scaled = (np.reshape(actions, (-1, len(self._centre))) - self._centre) * self._slope
        if not np.isfinite(scaled).all():
            raise ValueError(f"The action {actions} is not finite.")
        clipped: Float32[np.ndarray, "n a"] = np.clip(scaled, -1, 1).astype(np.float32)
        return clipped[:, self._varies]

    def to_environment(self, scaled: Float32[np.ndarray, "n a"]) -> NDArray[Any]:
        """Returns a batch of actions in the environment's own units, shape and type."""
        actions: NDArray[Any] = np.zeros((len(scaled), len(self._low)), self._low.dtype)
        actions[:, self._varies] = scaled
        actions = self._low + 0.5 * (actions + 1) * (self._high - self._low)
        if self.whole:
            actions = np.rint(actions)
        # Rounding may have left the bounds by a hair, and a data set's may be wider.
        actions = np.clip(actions, *self._allowed)
        return actions.astype(self._space.dtype).reshape(-1, *self._space.shape)


def bounded(space: spaces.Space[Any]) -> spaces.Box:
    """Returns an action space that the model can have, and refuses others.

    Raises:
        TypeError: If the space is not a ``Box`` of numbers.
        ValueError: If it has no bounds, none that float32 can compute with, or a single action.
    """
    if not isinstance(space, spaces.Box) or space.dtype == np.bool_ or not space.low.size:
        discrete = isinstance(space, spaces.Discrete)
        way = "; put core_repr.OneHotAction around it" if discrete else ""
        raise TypeError(
            f"The model needs a Box of continuous actions, but the environment has {space}{way}."
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(
            f"The model needs bounded actions, but the environment has {space}; put ClipAction "
            "around CoReWrapper instead of inside it, or give the environment a bounded "
            "action_space with gymnasium.wrappers.TransformAction."
        )
    with np.errstate(over="ignore"):
        spread = space.high.astype(np.float32) - space.low.astype(np.float32)
    if not np.isfinite(spread).all():
        raise ValueError(
            f"The model needs bounded actions, but the environment has {space}, whose bounds are "
            "further apart than float32 can tell, as if there were none; give it the bounds that "
            "its actuators have with gymnasium.wrappers.TransformAction."
        )
    if not (spread > 0).any():
        raise ValueError(
            f"The model needs actions that can vary, but the environment has {space}, whose bounds "
            "leave a single action; give it others."
        )
    return space
