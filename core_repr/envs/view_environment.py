"""What environments whose frames are drawn here have in common."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np
from gymnasium.core import ObsType
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from numpy.typing import NDArray

from core_repr.envs.checks import require_action
from core_repr.envs.mujoco.view import View


class ViewEnv(gymnasium.Env[ObsType, NDArray[np.float32]]):
    """An environment whose frames a view draws, made of checked arguments."""

    _arguments: Any
    _view: View
    _actions: Box
    _episode_runs = _has_state = False

    @property
    def spec(self) -> EnvSpec | None:
        """What `gymnasium.make` made this of, with plain arguments, as JSON knows them."""
        return vars(self).get("spec")

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            plain = asdict(self._arguments)
            spec.kwargs = {name: plain.get(name, value) for name, value in spec.kwargs.items()}
        vars(self)["spec"] = spec

    def render(self) -> NDArray[np.uint8] | None:
        """Returns a larger picture of what the last frame shows, for videos.

        Returns:
            480 pixels high, as wide as what the camera sees is, or None without
            `render_mode="rgb_array"`.

        Raises:
            gymnasium.error.ResetNeeded: There is nothing to see before the first reset.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() needs render_mode='rgb_array': pass it to gymnasium.make."
            )
            return None
        if not self._has_state:
            raise gymnasium.error.ResetNeeded("There is nothing to render: call reset().")
        return self._view.picture()

    def close(self) -> None:
        """Ends the episode and frees the renderers; calling it again does nothing."""
        self._episode_runs = self._has_state = False
        self._view.close()

    def _control(self, action: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the action for the simulator, if an episode runs and it fits."""
        if not self._episode_runs:
            why = "this episode is over" if self._has_state else "no episode was started"
            raise gymnasium.error.ResetNeeded(f"There is no step to make, {why}: call reset().")
        return require_action(action, self._actions)
