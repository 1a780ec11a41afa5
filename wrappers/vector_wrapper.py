"""CoReVectorWrapper: a vector of pixel environments becomes one of latent-state environments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from core_repr.adapters import keep_last
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers.latent_observer import LatentObserver
from core_repr.wrappers.latent_tracker import Features
from core_repr.wrappers.surprise import Surprise


class CoReVectorWrapper(VectorWrapper[Any, Any, Any, Any, Any]):
    """Gives the latent states of a vector of environments, all computed in one batch.

    The observations are those of :class:`CoReWrapper` around each environment. Every autoreset
    mode of Gymnasium works: the last frame of an episode is seen with the state of that episode
    (as ``infos["final_obs"]`` where environments are reset in the same step), the first frame of
    the next one with a fresh state. A reset with ``options={"reset_mask": ...}`` leaves the
    others as they are.

    Args:
        envs: Vector of environments as :class:`CoReWrapper` takes them. With
            ``AsyncVectorEnv`` they run in other processes, and the model stays in this one.
        model: As for :class:`CoReWrapper`.
        revision: As for :class:`CoReWrapper`.
        features: As for :class:`CoReWrapper`.
        predicted_reward: As for :class:`CoReWrapper`.
        pixels_key: As for :class:`CoReWrapper`.
        keep: As for :class:`CoReWrapper`.
        device: As for :class:`CoReWrapper`.
        threads: As for :class:`CoReWrapper`.
        surprise: As for :class:`CoReWrapper`; ``infos["surprise"]`` holds those of all
            environments, ``infos["_surprise"]`` which of them have taken a step.

    Attributes:
        model: The model.

    Raises:
        TypeError: As for :class:`CoReWrapper`.
        ValueError: As for :class:`CoReWrapper`.
        OSError: As for :class:`CoReWrapper`.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import CoReVectorWrapper
        >>> envs = gym.make_vec("distracting_control/cartpole-swingup-v0", num_envs=4)
        >>> envs = CoReVectorWrapper(envs, "cartpole-swingup-easy-v0")
        >>> envs.observation_space.shape
        (4, 264)
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
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
        if not isinstance(envs, VectorEnv):
            raise TypeError(
                f"CoReVectorWrapper takes a vector of Gymnasium environments, not a "
                f"{type(envs).__name__}; for one environment take CoReWrapper, for a VecEnv of "
                "SB3 CoReVecEnvWrapper."
            )
        super().__init__(envs)
        self._observer = LatentObserver(
            envs,
            envs.single_observation_space,
            envs.single_action_space,
            envs.num_envs,
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
        self.model = self._observer.model
        self.single_observation_space = self._observer.observation_space
        self.observation_space = batch_space(self.single_observation_space, envs.num_envs)
        self._autoreset = _autoreset_mode(envs)
        if self._autoreset == AutoresetMode.SAME_STEP:
            keep_last(envs)
        self._ended = np.zeros(envs.num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes in all environments, or in those of ``options["reset_mask"]``."""
        mask = None if options is None else options.get("reset_mask")
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        rows = None if mask is None else np.flatnonzero(mask)
        if seed is not None:
            if isinstance(seed, int | np.integer):
                seed = [int(seed) + i for i in range(self.num_envs)]
            self._observer.seed(seed, rows)
        self._ended[slice(None) if rows is None else rows] = False
        latents = self._observer.start(observations, rows)
        return self._observer.observation(latents, observations), infos

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Takes a step in every environment; ``actions`` are in their own units."""
        taken = np.array(actions)  # The environments may change their argument.
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        ended = np.logical_or(terminations, truncations)
        if self._autoreset == AutoresetMode.SAME_STEP and ended.any():
            final = self._last_observations(infos, ended)
            latents, last_latents = self._observer.advance_over_ends(observations, taken, final)
            infos["final_obs"] = np.full(self.num_envs, None, object)
            for row, latent in last_latents.items():
                infos["final_obs"][row] = self._observer.observation(latent, final[row])
        else:
            latents = self._observer.advance(observations, taken, self._ended)
        if self._observer.surprises is not None:
            infos["surprise"] = self._observer.surprises
            infos["_surprise"] = ~np.isnan(self._observer.surprises)
        if self._autoreset == AutoresetMode.NEXT_STEP:
            self._ended = ended
        return (
            self._observer.observation(latents, observations),
            rewards,
            terminations,
            truncations,
            infos,
        )

    def _last_observations(self, infos: dict[str, Any], ended: NDArray[np.bool_]) -> dict[int, Any]:
        given = infos.get("final_obs", [None] * self.num_envs)
        final = {int(row): given[row] for row in np.flatnonzero(ended)}
        for row, observation in final.items():
            if observation is None:
                raise ValueError(
                    f"Environment {row} ended an episode without giving its last observation in "
                    "infos['final_obs'], which AutoresetMode.SAME_STEP promises and whose latent "
                    "state closes the episode; let the vector keep it, or take another autoreset "
                    "mode."
                )
        return final


def _autoreset_mode(envs: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = envs.metadata.get("autoreset_mode")
    if mode is None:
        gym.logger.warn(
            f"{envs} does not tell its autoreset mode in metadata['autoreset_mode']; "
            "AutoresetMode.NEXT_STEP is assumed."
        )
        return AutoresetMode.NEXT_STEP
    return AutoresetMode(mode)
