"""ImaginedVecEnv: what a world model imagines, as environments of Stable-Baselines3."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from core_repr.world_model import CoReWorldModel, LatentState
from core_repr.wrappers.imagined import Imagination


class ImaginedVecEnv(VecEnv):
    """Environments of Stable-Baselines3 that a world model imagines: no simulator, no pixels.

    They are those of :class:`~core_repr.wrappers.ImaginedVectorEnv`, with SB3's interface: the last
    observations are in ``infos[i]["terminal_observation"]``.

    Args:
        model: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.
        starts: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.
        horizon: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.
        num_envs: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.
        device: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.

    Attributes:
        model: The model.

    Raises:
        TypeError: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.
        ValueError: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.
        OSError: As for :class:`~core_repr.wrappers.ImaginedVectorEnv`.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import CoReWrapper
        >>> from core_repr.wrappers import ImaginedVecEnv, record_states
        >>> from stable_baselines3 import PPO
        >>> env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="easy")
        >>> env = CoReWrapper(env, "cartpole-swingup-easy-v0")
        >>> venv = ImaginedVecEnv(env.model, record_states(env, 20_000))  # doctest: +SKIP
        >>> agent = PPO("MlpPolicy", venv).learn(1_000_000)  # doctest: +SKIP
        >>> action, _ = agent.predict(env.reset()[0])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | CoReWorldModel,
        starts: LatentState,
        horizon: int = 15,
        num_envs: int = 256,
        device: str | torch.device | None = None,
    ) -> None:
        self._imagination = Imagination(model, starts, horizon, num_envs, device)
        self.model = self._imagination.model
        self.render_mode = None
        super().__init__(
            num_envs, self._imagination.observation_space, self._imagination.action_space
        )
        self._taken: NDArray[Any] | None = None

    def reset(self) -> Float32[np.ndarray, "n z"]:
        """Starts episodes in all environments; of the seeds of ``seed``, the first one counts."""
        self._imagination.seed(self._seeds[0])
        self._reset_seeds()
        self._imagination.start()
        return self._imagination.observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions, in the environment's units, for :meth:`step_wait`."""
        self._taken = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Takes a step; episodes that end make room for new ones at once."""
        assert self._taken is not None
        rewards, terminated, truncated = self._imagination.step(self._taken)
        over = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if over.any():
            last = self._imagination.observations
            for row in np.flatnonzero(over):
                infos[row] = {
                    "terminal_observation": last[row],
                    "TimeLimit.truncated": not terminated[row],
                }
            self._imagination.start(over)
        return self._imagination.observations, rewards, over, infos

    def close(self) -> None:
        """There is nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute of these environments, the same for each."""
        return [getattr(self, attr_name)] * len([*self._get_indices(indices)])

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of all of them."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuses: there are no environments behind it that have methods.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(f"An imagined environment has no method {method_name!r}.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Returns that nothing is wrapped."""
        return [False] * len([*self._get_indices(indices)])
