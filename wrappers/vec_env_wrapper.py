"""CoReVecEnvWrapper: an SB3 vector of pixel environments becomes one of latent states."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from core_repr.adapters import keep_last, last_observations
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers.latent_observer import LatentObserver
from core_repr.wrappers.latent_tracker import Features
from core_repr.wrappers.surprise import Surprise


class CoReVecEnvWrapper(VecEnvWrapper):
    """Gives the latent states of SB3's vectorised environments, all computed in one batch.

    The observations are those of :class:`CoReWrapper` around each environment, and so is
    ``infos[i]["terminal_observation"]`` where an episode ended.

    Args:
        venv: Environments as :class:`CoReWrapper` takes them. With ``SubprocVecEnv`` they run in
            other processes, and the model stays in this one.
        model: As for :class:`CoReWrapper`.
        revision: As for :class:`CoReWrapper`.
        features: As for :class:`CoReWrapper`.
        predicted_reward: As for :class:`CoReWrapper`.
        pixels_key: As for :class:`CoReWrapper`.
        keep: As for :class:`CoReWrapper`.
        device: As for :class:`CoReWrapper`.
        threads: As for :class:`CoReWrapper`.
        surprise: As for :class:`CoReWrapper`; ``infos[i]["surprise"]`` is that of environment i.

    Attributes:
        model: The model.

    Raises:
        TypeError: As for :class:`CoReWrapper`.
        ValueError: As for :class:`CoReWrapper`.
        OSError: As for :class:`CoReWrapper`.

    Example:
        >>> from core_repr import CoReVecEnvWrapper
        >>> from stable_baselines3.common.env_util import make_vec_env
        >>> venv = make_vec_env("distracting_control/cartpole-swingup-v0", n_envs=4)
        >>> venv = CoReVecEnvWrapper(venv, "cartpole-swingup-easy-v0")
        >>> venv.observation_space.shape
        (264,)
    """

    def __init__(
        self,
        venv: VecEnv,
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
        if not isinstance(venv, VecEnv):
            raise TypeError(
                f"CoReVecEnvWrapper takes a VecEnv of SB3, not a {type(venv).__name__}; for one "
                "environment take CoReWrapper, for a vector of Gymnasium CoReVectorWrapper."
            )
        observer = LatentObserver(
            venv,
            venv.observation_space,
            venv.action_space,
            venv.num_envs,
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
        super().__init__(venv, observer.observation_space)
        keep_last(venv)
        self.model = observer.model
        self._observer = observer
        self._actions: NDArray[Any] | None = None

    def reset(self) -> VecEnvObs:
        """Starts episodes in all environments; the seeds of ``seed`` fix the latents too."""
        seeds = list(self.venv.unwrapped._seeds)
        observations = self.venv.reset()
        self.reset_infos = self.venv.reset_infos
        self._observer.seed(seeds)
        latents = self._observer.start(observations)
        return self._observer.observation(latents, observations)  # type: ignore[no-any-return]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Starts a step; ``actions`` are in the environments' own units."""
        self._actions = np.array(actions)  # Until step_wait, the caller may write to the array.
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Ends the step that :meth:`step_async` started."""
        observations, rewards, dones, infos = self.venv.step_wait()
        assert self._actions is not None
        if dones.any():
            final = last_observations(infos, dones)
            latents, last_latents = self._observer.advance_over_ends(
                observations, self._actions, final
            )
            for row, latent in last_latents.items():
                infos[row]["terminal_observation"] = self._observer.observation(latent, final[row])
            self.reset_infos = self.venv.reset_infos
        else:
            latents = self._observer.advance(observations, self._actions)
        if self._observer.surprises is not None:
            for info, surprise in zip(infos, self._observer.surprises, strict=True):
                info["surprise"] = float(surprise)
        return self._observer.observation(latents, observations), rewards, dones, infos
