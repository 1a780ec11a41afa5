"""CoReWrapper: a pixel environment becomes a latent-state environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from core_repr.world_model import CoReWorldModel, LatentState
from core_repr.wrappers.latent_observer import LatentObserver
from core_repr.wrappers.latent_tracker import Features
from core_repr.wrappers.surprise import Surprise


class CoReWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Gives the latent state of a frozen world model as a flat observation.

    The observation is ``[h, mean]``, the deterministic recurrent state and the mean of the
    posterior, float32 of shape ``(latent_size,)``. Rewards, ends, information and actions pass
    unchanged; the model knows the actions as their place between the bounds, a model of a data set
    between those that were recorded.

    Args:
        env: Environment with square RGB frames and a bounded ``Box`` of actions. Frames may have
            their channels first, may be stacked (the newest, last one is taken), floats in
            [0, 1], or larger than the model's, and of any layout in memory.
        model: A zoo name, a model folder, a Hub repository ("user/name"), or a
            :class:`~core_repr.CoReWorldModel`.
        revision: Branch, tag or commit of a Hub repository.
        features: What stands for the stochastic state: "mean" and "sample" of the posterior, or
            "prior", its mean before the frame is seen.
        predicted_reward: Whether the reward that the model predicts for the step follows, as one
            more number.
        pixels_key: Name of the pixels in a ``Dict`` of observations; by default as in the model's
            training, or "pixels".
        keep: Names of observations to keep. The observation is then a ``Dict`` of the latents,
            "latent", and copies of these; an observation that is not a ``Dict`` has the name
            "pixels".
        device: Where the model runs; the CPU by default, or where a given model is.
        threads: CPU threads that the model takes. More than one pays with many environments and
            an idle machine only.
        surprise: What :func:`~core_repr.wrappers.calibrate_surprise` gave, or the file that it was
            saved to: ``info["surprise"]`` of each step then tells how unusual it was; above 1 is
            one usual step of a hundred.

    Attributes:
        model: The model.

    Raises:
        TypeError: If the environment has no RGB frames or no ``Box`` of actions, or ``model`` is
            not a model.
        ValueError: If its frames or actions are of another size than the model's, its actions are
            unbounded, or an option has no such value.
        OSError: If there is no such model, or the Hub cannot be reached.

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
        env: gym.Env[Any, Any],
        model: str | os.PathLike[str] | CoReWorldModel,
        *,
        revision: str | None = None,
        features: Features = "mean",
        predicted_reward: bool = False,
        pixels_key: str | None = None,
        keep: Sequence[str] = (),
        device: str | torch.device | None = None,
        threads: int = 1,
        surprise: Surprise | str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(env, gym.Env):
            raise TypeError(
                f"CoReWrapper takes one Gymnasium environment, not a {type(env).__name__}; for "
                "many at once take CoReVectorWrapper (Gymnasium) or CoReVecEnvWrapper (SB3)."
            )
        # As JSON has it. A model that was given as it is goes along, without being copied.
        gym.utils.RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            model=os.fspath(model) if isinstance(model, os.PathLike) else model,
            revision=revision,
            features=features,
            predicted_reward=predicted_reward,
            pixels_key=pixels_key,
            keep=keep if isinstance(keep, str) else list(keep),
            device=None if device is None else str(device),
            threads=threads,
            surprise=os.fspath(surprise) if isinstance(surprise, os.PathLike) else surprise,
        )
        gym.Wrapper.__init__(self, env)
        self._observer = LatentObserver(
            env,
            env.observation_space,
            env.action_space,
            1,
            model,
            revision=revision,
            features=features,
            predicted_reward=predicted_reward,
            pixels_key=pixels_key,
            keep=keep,
            device=device,
            threads=threads,
            surprise=surprise,
        )
        self._ended = False
        self.model = self._observer.model
        self.observation_space = self._observer.observation_space

    @property
    def latent_state(self) -> LatentState:
        """The latent state after the last frame, without a batch: h, mean, log_std and sample."""
        return self._observer.states.at(0)

    @property
    def last_input(self) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """What the model was given last: frame, proprioception, and the action in [−1, 1].

        Raises:
            ValueError: If there was no episode yet.
        """
        if self._observer.last_input is None:
            raise ValueError("The model was given nothing yet: call reset().")
        seen, actions = self._observer.last_input
        frame, proprioception = seen.copy().row(0)
        return frame, proprioception, actions[0].copy()

    def surprise_readings(self) -> NDArray[np.float32]:
        """Returns what :class:`~core_repr.wrappers.Surprise` judges the last step by.

        Raises:
            ValueError: If the model has no recurrent prior.
        """
        (readings,) = self._observer.surprise_readings()
        told: NDArray[np.float32] = readings
        return told

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, and the latent state with it; ``seed`` fixes both."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._observer.seed([seed])
        self._ended = False
        (latent,) = self._observer.start(observation)
        return self._observer.observation(latent, observation), info

    def step(self, action: NDArray[Any]) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes a step; ``action`` is in the environment's own units."""
        taken = np.array(action)  # The environment may change its argument.
        observation, reward, terminated, truncated, info = self.env.step(action)
        # After an end, gymnasium.wrappers.Autoreset starts an episode instead of taking a step.
        starts = self._ended
        (latent,) = self._observer.advance(observation, taken, np.array([starts]))
        self._ended = bool(terminated or truncated)
        surprises = self._observer.surprises
        if surprises is not None and not starts:
            info = {**info, "surprise": float(surprises[0])}
        return (
            self._observer.observation(latent, observation),
            reward,
            terminated,
            truncated,
            info,
        )
