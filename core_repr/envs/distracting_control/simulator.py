"""dm_control's suite, and what to do where it is missing or does not fit MuJoCo."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from core_repr.envs.rendering import importing_opengl, select_backend

DM_CONTROL, MUJOCO = "1.0.41", "3.8"
"""dm_control is tied to one minor release of MuJoCo; these are what the extra `suite` installs."""


def load_task(domain: str, task: str, **options: Any) -> Any:
    """Makes a task of dm_control's suite, and fixes the renderer of the process.

    Args:
        domain: dm_control's domain.
        task: dm_control's task.
        **options: Of `dm_control.suite.load`.

    Returns:
        The `dm_control.rl.control.Environment`.

    Raises:
        gymnasium.error.DependencyNotInstalled: dm_control or something that it needs is not
            installed, or dm_control does not fit the MuJoCo that is.
        RenderingError: There is no OpenGL to render with.
    """
    for package in ("dm_control", "mujoco", "OpenGL"):
        if importlib.util.find_spec(package) is None:
            raise gymnasium.error.DependencyNotInstalled(
                f"distracting_control needs {package}, which is not installed: {install_command()}."
            )
    backend = select_backend()
    try:
        with importing_opengl(backend):
            from dm_control import suite

        return suite.load(domain, task, **options)
    except Exception as error:
        if fit(installed := (metadata.version("dm_control"), metadata.version("mujoco"))):
            raise
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0] if str(cause) else repr(cause)
        raise gymnasium.error.DependencyNotInstalled(
            f"dm_control {installed[0]} does not work with MuJoCo {installed[1]} ({reason}); "
            f"dm_control {DM_CONTROL} works with MuJoCo {MUJOCO}: {install_command()}."
        ) from error


def action_space(suite: Any) -> Box[np.float32]:
    """Returns what the actions of a task of the suite are.

    An actuator without limits, such as each of `lqr`'s, takes −1 to 1: for MuJoCo, no limit is
    one of 1e10, and actions drawn from there are of no use.

    Args:
        suite: What `load_task` returned.
    """
    spec = suite.action_spec()
    bounds = (np.broadcast_to(bound, spec.shape) for bound in (spec.minimum, spec.maximum))
    low, high = (np.where(abs(bound) < _NO_LIMIT, bound, np.sign(bound)) for bound in bounds)
    return Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


_NO_LIMIT = 1e10
"""MuJoCo's `mjMAXVAL`."""


def fit(versions: tuple[str, str]) -> bool:
    """Whether versions of dm_control and MuJoCo are those that the extra `suite` installs."""
    dm_control, mujoco = versions
    return dm_control == DM_CONTROL and f"{mujoco}.".startswith(f"{MUJOCO}.")


def install_command() -> str:
    """Returns what to type to install the suite on this Python."""
    command = 'pip install "core-repr[suite]"'
    if sys.version_info >= (3, 13):
        # Its dependency labmaze, which the suite does not use, has no build for this Python.
        command += f" && pip install --no-deps dm_control=={DM_CONTROL}"
    return command
