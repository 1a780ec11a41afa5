"""Where other packages' environments keep their MuJoCo simulator, and what they look through."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from core_repr.envs.rendering.free_camera import FreeCamera

_PLACES = (
    ("model", "data"),
    # robosuite's
    ("sim.model._model", "sim.data._data"),
    # dm_control's, in a wrapper for Gymnasium such as Shimmy's
    ("_env.physics.model.ptr", "_env.physics.data.ptr"),
    ("physics.model.ptr", "physics.data.ptr"),
)


def find_simulator(env: gymnasium.Env[Any, Any]) -> tuple[Any, Any] | None:
    """Returns the `mujoco.MjModel` and the `mujoco.MjData` of an environment, or None.

    Gymnasium's own MuJoCo tasks are known, and those that keep them likewise, as Gymnasium-Robotics
    does; robosuite's; and dm_control's in a wrapper for Gymnasium.
    """
    try:
        import mujoco
    except ImportError:
        return None
    for places in _PLACES:
        try:
            model, data = (attrgetter(place)(env.unwrapped) for place in places)
        except AttributeError:
            continue
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return model, data
    return None


def find_camera(env: gymnasium.Env[Any, Any], model: Any, name: str | None) -> int | FreeCamera:
    """Returns what an environment is looked at through.

    Args:
        env: The environment.
        model: Its `mujoco.MjModel`.
        name: Of one of the model's cameras; None for what the environment's own pictures are taken
            with, or the model's first camera, or the free camera that MuJoCo's viewer starts with.

    Raises:
        ValueError: The model has no camera of that name.
    """
    if name is not None:
        return _number("camera", name, [model.camera(i).name for i in range(model.ncam)])
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer is None:
        return 0 if model.ncam else FreeCamera.default(model)
    own = int(renderer.camera_id)
    return own if own >= 0 else _viewers_camera(model, renderer.default_cam_config or {})


def find_body(model: Any, name: str) -> int:
    """Returns the number of a body.

    Raises:
        ValueError: The model has no body of that name.
    """
    return _number("body", name, [model.body(i).name for i in range(model.nbody)])


def looking_at(camera: FreeCamera, target: int | NDArray[np.float64]) -> FreeCamera:
    """Returns a free camera that looks at a body, by number, or at a point."""
    if isinstance(target, int):
        return replace(camera, body=target)
    x, y, z = target.tolist()
    return replace(camera, lookat=(x, y, z))


def _number(kind: str, name: str, names: Sequence[str]) -> int:
    """Returns the number of what has a name."""
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names)
    known = f"did you mean {' or '.join(near)}?" if near else f"it has {names or 'none'}."
    raise ValueError(f"the model has no {kind} {name!r}: {known}")


def _viewers_camera(model: Any, settings: dict[str, Any]) -> FreeCamera:
    """Returns the free camera of Gymnasium's renderer."""
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    middle = np.median(data.geom_xpos, axis=0) if model.ngeom else np.zeros(3)
    x, y, z = np.asarray(settings.get("lookat", middle), np.float64).tolist()
    return FreeCamera(
        (x, y, z),
        distance=float(settings.get("distance", model.stat.extent)),
        azimuth=float(settings.get("azimuth", FreeCamera.azimuth)),
        elevation=float(settings.get("elevation", FreeCamera.elevation)),
    )
