"""What the paper's code varies of robosuite's tasks: its domain randomisation, anew each episode.

The ranges are the defaults of robosuite's `DomainRandomizationWrapper`, the same in 1.2 and 1.5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.lighting import turned
from core_repr.envs.mujoco.surfaces import colored_by_themselves

COLOR_SHARE = 0.2
"""Of a random colour or pattern in what is shown instead of the own one."""

_MATERIAL_SHARE = 0.3
_LIGHT_SHIFT, _LIGHT_ANGLE, _LIGHT_COLOR = 0.1, 0.35, 0.1
_CAMERA_SHIFT, _CAMERA_ANGLE, _CAMERA_FOV = 0.01, 0.087, 5.0
"""In metres, radians, degrees."""

_SHINE = ("mat_reflectance", "mat_shininess", "mat_specular")
_LIGHT_COLORS = ("light_ambient", "light_diffuse", "light_specular")


class Colors:
    """Other colours of what has no texture, and another shine and no tint of what has one.

    Args:
        model: The `mujoco.MjModel`.
    """

    model_arrays: tuple[str, ...] = ("mat_rgba", "geom_rgba", *_SHINE)
    data_arrays: tuple[str, ...] = ()

    def __init__(self, model: Any) -> None:
        self._model = model
        textures = np.asarray(model.mat_texid).reshape(model.nmat, -1)
        self._textured: NDArray[np.bool_] = np.any(textures >= 0, axis=1)
        self._geometries: NDArray[np.intp] = np.flatnonzero(colored_by_themselves(model))
        self._own = {name: np.array(getattr(model, name)) for name in self.model_arrays}
        self._drawn = dict(self._own)

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new colours."""
        drawn = {name: values.copy() for name, values in self._own.items()}
        for name in ("mat_rgba", "geom_rgba"):
            rgb = drawn[name][:, :3]
            rgb[:] = (1 - COLOR_SHARE) * rgb + COLOR_SHARE * rng.uniform(size=rgb.shape)
        drawn["mat_rgba"][self._textured, :3] = 1.0
        others = np.ones(len(drawn["geom_rgba"]), np.bool_)
        others[self._geometries] = False
        # A material's colour is drawn as long as that of the geometry is the default.
        drawn["geom_rgba"][others] = self._own["geom_rgba"][others]
        for name in _SHINE:
            own = self._own[name]
            mixed = (1 - _MATERIAL_SHARE) * own + _MATERIAL_SHARE * rng.uniform(size=own.shape)
            drawn[name][self._textured] = mixed[self._textured]
        self._drawn = drawn

    def step(self) -> None:
        """Colours stay for an episode."""

    def apply(self) -> None:
        """Writes the colours into the model."""
        for name, values in self._drawn.items():
            getattr(self._model, name)[:] = values

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model = model


class Lights:
    """Lights elsewhere, turned, in other colours, and each off in half of the episodes.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`.
    """

    model_arrays: tuple[str, ...] = ("light_active", *_LIGHT_COLORS)
    data_arrays: tuple[str, ...] = ("light_xpos", "light_xdir")

    def __init__(self, model: Any, data: Any) -> None:
        self._model, self._data = model, data
        self._own = {name: np.array(getattr(model, name)) for name in self.model_arrays}
        self._drawn: dict[str, NDArray[Any]] = dict(self._own)
        self._shift = self._rotation = np.zeros((model.nlight, 3))

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new lights."""
        shape = (len(self._shift), 3)
        self._shift = rng.uniform(-_LIGHT_SHIFT, _LIGHT_SHIFT, shape)
        self._rotation = _rotations(rng, len(self._shift), _LIGHT_ANGLE)
        for name in _LIGHT_COLORS:
            change = rng.uniform(-_LIGHT_COLOR, _LIGHT_COLOR, shape)
            self._drawn[name] = np.asarray(self._own[name] + change).clip(0, 1)
        on = rng.uniform(size=len(self._shift)) < 0.5
        self._drawn["light_active"] = self._own["light_active"] & on

    def step(self) -> None:
        """Lights stay for an episode."""

    def apply(self) -> None:
        """Writes the lights into the simulator."""
        self._data.light_xpos[:] += self._shift
        self._data.light_xdir[:] = turned(self._data.light_xdir, self._rotation)
        for name, values in self._drawn.items():
            getattr(self._model, name)[:] = values

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model, self._data = model, data


class CameraPose:
    """The camera moved by up to a centimetre, turned by up to 5°, and another field of view.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`.
        camera_id: Which camera.
    """

    model_arrays: tuple[str, ...] = ("cam_fovy",)
    data_arrays: tuple[str, ...] = ("cam_xpos", "cam_xmat")

    def __init__(self, model: Any, data: Any, *, camera_id: int) -> None:
        self._model, self._data, self._camera_id = model, data, camera_id
        self._fov = float(model.cam_fovy[camera_id])
        self.shift, self.rotation, self.zoom = np.zeros(3), np.zeros(3), 0.0

    def reset(self, rng: np.random.Generator) -> None:
        """Draws a pose."""
        self.shift = rng.uniform(-_CAMERA_SHIFT, _CAMERA_SHIFT, 3)
        (self.rotation,) = _rotations(rng, 1, _CAMERA_ANGLE)
        self.zoom = float(rng.uniform(-_CAMERA_FOV, _CAMERA_FOV))

    def step(self) -> None:
        """The camera stays for an episode."""

    def apply(self) -> None:
        """Moves the camera from where it is by itself."""
        rotation = self._data.cam_xmat[self._camera_id].reshape(3, 3)
        axes = turned(rotation.T, np.tile(self.rotation, (3, 1)))
        self._data.cam_xmat[self._camera_id] = axes.T.ravel()
        self._data.cam_xpos[self._camera_id] += self.shift
        self._model.cam_fovy[self._camera_id] = self._fov + self.zoom

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model, self._data = model, data


def _rotations(rng: np.random.Generator, number: int, largest: float) -> NDArray[np.float64]:
    """Draws rotations about random axes, each the axis times the angle, shape (number, 3)."""
    vertical = rng.uniform(-1, 1, number)
    around = rng.uniform(0, 2 * math.pi, number)
    ring = np.sqrt(1 - vertical**2)
    axes = np.stack([ring * np.cos(around), ring * np.sin(around), vertical], axis=1)
    return axes * rng.uniform(0, largest, (number, 1))
