"""CoReWrapper: a pixel environment becomes a latent-state environment."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from core_repr import zoo
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel


class CoReWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Gives the latent state of a frozen world model as a flat observation.

    The observation is ``[h, mean]``, the deterministic recurrent state and the mean of the
    posterior, float32 of shape ``(latent_size,)``. Rewards, ends and actions pass unchanged.

    Args:
        env: Environment with square RGB frames ``(side, side, 3)`` of uint8 and a bounded
            ``Box`` of actions, as the model was trained with.
        model: A zoo name, a model folder, or a :class:`~core_repr.CoReWorldModel`.
        device: Where the model runs.

    Raises:
        TypeError: If the environment has no RGB frames or no ``Box`` of actions.
        ValueError: If its frames or actions are of another size than the model's, or its
            actions are unbounded.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import CoReWrapper
        >>> env = gym.make("distracting_control/cartpole-swingup-v0", difficulty="easy")
        >>> env = CoReWrapper(env, "cartpole-swingup-easy-v0")
        >>> env.observation_space.shape
        (264,)
    """

    def __init__(
        self,
        env: gym.Env[NDArray[np.uint8], NDArray[np.float32]],
        model: str | Path | CoReWorldModel,
        device: str = "cpu",
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, model=model, device=device)
        gym.Wrapper.__init__(self, env)
        self.model = (
            model if isinstance(model, CoReWorldModel) else zoo.load(model, device=device)
        ).eval()
        check_environment(env, self.model.config)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.model.latent_size,), np.float32)
        actions = env.action_space
        assert isinstance(actions, spaces.Box)
        self._action_low, self._action_high = actions.low, actions.high
        self._start()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode, and the latent state with it."""
        frame, info = self.env.reset(seed=seed, options=options)
        self._start()
        return self._encode(frame), info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes a step; ``action`` is in the environment's own units."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        scaled = 2 * (action - self._action_low) / (self._action_high - self._action_low) - 1
        self._action = torch.as_tensor(
            scaled.reshape(1, -1), dtype=torch.float32, device=self.model.device
        )
        return self._encode(frame), reward, terminated, truncated, info

    def _start(self) -> None:
        self._state = self.model.initial_state(1)
        self._is_first = torch.ones(1, dtype=torch.bool, device=self.model.device)
        environment = self.model.config.environment
        assert environment is not None
        self._action = torch.zeros(1, environment.action_size, device=self.model.device)

    @torch.no_grad()
    def _encode(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        frames = torch.from_numpy(np.array(frame[None])).to(self.model.device)
        self._state = self.model.step(self._state, self._action, frames, self._is_first)
        self._is_first = torch.zeros_like(self._is_first)
        features: NDArray[np.float32] = self._state.features[0].cpu().numpy()
        return features


def check_environment(env: gym.Env[Any, Any], config: CoReConfig) -> None:
    """Refuses an environment that a model cannot work in; warns where it was not trained for it.

    Args:
        env: The environment.
        config: The model's.

    Raises:
        TypeError: See :class:`CoReWrapper`.
        ValueError: See :class:`CoReWrapper`.
    """
    trained = config.environment
    assert trained is not None
    frames, actions = env.observation_space, env.action_space
    side = config.world_model.frame_size
    if not isinstance(frames, spaces.Box) or frames.dtype != np.uint8 or frames.shape[2:] != (3,):
        raise TypeError(
            "The model takes RGB frames, a Box of uint8 with shape (side, side, 3), but the "
            f"environment's observations are {frames}; wrap it so that it gives its pixels."
        )
    if frames.shape != (side, side, 3):
        raise ValueError(
            f"The model was trained on frames of {side} × {side} pixels, but the environment gives "
            f"{frames.shape[0]} × {frames.shape[1]}; make it with frame_size={side}."
        )
    if not isinstance(actions, spaces.Box):
        raise TypeError(f"The model needs a Box of continuous actions, not {actions}.")
    if not (np.isfinite(actions.low).all() and np.isfinite(actions.high).all()):
        raise ValueError(
            f"The model needs bounded actions, but the environment has {actions}; "
            "give them bounds with gymnasium.wrappers.RescaleAction or ClipAction."
        )
    size = int(np.prod(actions.shape))
    if size != trained.action_size:
        raise ValueError(
            f"The model was trained with {trained.action_size} action dimensions ({trained.id}), "
            f"but the environment has {size}; take a model that was trained in it."
        )
    repeat = env.get_wrapper_attr("action_repeat") if env.has_wrapper_attr("action_repeat") else 1
    here = "an environment without id" if env.spec is None else env.spec.id
    if env.spec is not None and (here, repeat) != (trained.id, trained.action_repeat):
        warnings.warn(
            f"The model was trained in {trained.id} with action repeat {trained.action_repeat}; "
            f"this is {here} with action repeat {repeat}, so its latents may tell little.",
            stacklevel=3,
        )
