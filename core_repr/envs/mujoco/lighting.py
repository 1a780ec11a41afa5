"""Lighting distraction: lights move, turn, change their colours and go out."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.distraction import Walk

_COLORS = ("ambient", "diffuse", "specular")


def turned(vectors: NDArray[np.float64], rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns vectors, by Rodrigues' formula.

    Args:
        vectors: Shape (n, 3).
        rotations: Each the axis times the angle in radians, shape (n, 3).

    Returns:
        Shape (n, 3).
    """
    angles = np.linalg.norm(rotations, axis=1, keepdims=True)
    axes = rotations / np.maximum(angles, 1e-12)
    along = (axes * vectors).sum(axis=1, keepdims=True) * axes
    cross = np.cross(axes, vectors)
    result: NDArray[np.float64] = (
        along + (vectors - along) * np.cos(angles) + cross * np.sin(angles)
    )
    return result


class Lighting:
    """Draws the lights of a model and the headlight, and lets them drift.

    At a reset, a light's position is drawn within ±`scale` of the model's extent of its own, its
    direction within ±σ·π/2 about each axis, and every channel of its ambient, diffuse and specular
    light within ±`scale`, clipped to [0, 1]. The headlight, which goes with the camera, takes other
    colours alone. In a dynamic episode all of them walk inside those bounds.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`, where `apply` writes positions and directions.
        scale: σ.
        dynamic: Whether the lights change within an episode.
        off_probability: How probable it is, for each light and episode, that the light is off. The
            headlight stays.

    Attributes:
        on: Which lights are on, shape (lights,).
    """

    model_arrays: tuple[str, ...] = (
        "light_active",
        *(f"light_{color}" for color in _COLORS),
        *(f"vis.headlight.{color}" for color in _COLORS),
    )
    data_arrays: tuple[str, ...] = ("light_xpos", "light_xdir")

    def __init__(
        self,
        model: Any,
        data: Any,
        *,
        scale: float,
        dynamic: bool,
        off_probability: float = 0.0,
    ) -> None:
        self._model, self._data = model, data
        self._off_probability = off_probability
        lights = model.nlight
        self._position = Walk(
            np.zeros((lights, 3)), scale * float(model.stat.extent), dynamic=dynamic
        )
        self._rotation = Walk(np.zeros((lights, 3)), scale * math.pi / 2, dynamic=dynamic)
        self._colors = {
            name: Walk(attrgetter(name)(model), scale, low=0.0, high=1.0, dynamic=dynamic)
            for name in self.model_arrays[1:]
        }
        self.on: NDArray[np.bool_] = np.array(model.light_active, np.bool_)

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new lights; `rng` also drives the walk until the next reset."""
        for walk in self._walks:
            walk.reset(rng)
        lit = rng.uniform(size=self._model.nlight) >= self._off_probability
        self.on = np.array(self._model.light_active, np.bool_) & lit

    def step(self) -> None:
        """Lets the lights change for one simulator step."""
        for walk in self._walks:
            walk.step()

    def apply(self) -> None:
        """Writes the lights into the simulator, from where they are by themselves."""
        self._data.light_xpos[:] += self._position.values
        self._data.light_xdir[:] = turned(self._data.light_xdir, self._rotation.values)
        self._model.light_active[:] = self.on
        for name, walk in self._colors.items():
            attrgetter(name)(self._model)[:] = walk.values

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model, self._data = model, data

    @property
    def _walks(self) -> tuple[Walk, ...]:
        return (self._position, self._rotation, *self._colors.values())
