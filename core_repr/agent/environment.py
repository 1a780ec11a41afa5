"""Which environments CoReSAC learns in, what their steps must be, and what a config records."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from core_repr.adapters import (
    KeepsLast,
    ObservationReader,
    action_repeat,
    bounded,
    find_pixels,
    find_proprioception,
    held_by_wrappers,
    refuse_grey,
)
from core_repr.config import CoReConfig, EnvironmentConfig, WorldModelConfig
from core_repr.files.values import plain_arguments
from core_repr.wrapping import worn

_log = logging.getLogger(__name__)


class CheckedSteps(KeepsLast):
    """Refuses observations and rewards that are not what the environment's spaces promise.

    Args:
        env: One environment.

    Raises:
        ValueError: In ``reset`` and ``step``; the message names the step.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._episode = self._step = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        observation, info = self.env.reset(**kwargs)
        self._episode, self._step = self._episode + 1, 0
        self._check(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Takes a step."""
        self._step += 1
        observation, reward, terminated, truncated, info = super().step(action)
        self._check(observation)
        number = np.asarray(reward, np.float64)
        if number.size != 1 or not np.isfinite(number).all():
            raise ValueError(
                f"{self._where} gave the reward {reward}, which is not one finite number."
            )
        return observation, float(number.item()), terminated, truncated, info

    def _check(self, observation: Any) -> None:
        problem = misfit(observation, self.observation_space)
        if problem is not None:
            raise ValueError(f"{self._where} gave an observation that {problem}.")

    @property
    def _where(self) -> str:
        return f"Step {self._step} of episode {self._episode} of {self.env}"


def misfit(observation: Any, space: spaces.Space[Any]) -> str | None:
    """Says why an observation does not belong to a space of arrays; ``None`` if it does.

    Args:
        observation: An array, or a dictionary of them.
        space: A ``Box``, or a ``Dict`` of them. Bounds are not looked at: some environments
            overstep them by rounding.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, dict) or observation.keys() != space.spaces.keys():
            seen = sorted(observation) if isinstance(observation, dict) else type(observation)
            return f"holds {seen} instead of {sorted(space.spaces)}"
        for name, part in space.spaces.items():
            problem = misfit(observation[name], part)
            if problem is not None:
                return f"{problem}, in {name!r}"
        return None
    array = np.asarray(observation)
    if array.shape != space.shape:
        return f"has shape {array.shape} instead of {space.shape}"
    if not np.can_cast(array.dtype, space.dtype or array.dtype, "same_kind"):
        return f"has type {array.dtype} instead of {space.dtype}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "holds values that are not finite"
    return None


def check_rewards(rewards: NDArray[np.float32]) -> None:
    """Refuses rewards that are not finite.

    Raises:
        ValueError: With the number of the environment.
    """
    for index in np.flatnonzero(~np.isfinite(rewards)):
        raise ValueError(
            f"Environment {index} gave the reward {rewards[index]}, which is not finite."
        )


def record_environment(config: CoReConfig, env: VecEnv) -> CoReConfig:
    """Returns a config with the environment filled in.

    A model of a data set may learn on in an environment with the same proprioception and bounds of
    actions; what no data set tells, the name of the frames and the action repeat, may be any.

    Args:
        config: A config, perhaps with the environment of an earlier training.
        env: Where to learn now.

    Raises:
        TypeError: If its observations hold no RGB frames, or its actions are not a ``Box``.
        ValueError: If frames or actions are such as the model cannot take, there is more than
            proprioception beside the frames, or the earlier environment's proprioception or
            actions were others.
    """
    now, before = describe_environment(env), config.environment
    side, space = config.world_model.frame_size, env.observation_space
    ObservationReader(space, side, now.pixels_key, now.proprioception)  # Or says what is wrong.
    refuse_grey(env)
    if before is None:
        _warn_of_crop(config.world_model)
    else:
        if before.is_dataset and not now.is_dataset:
            _check_like_dataset(now, before)
            now = replace(now, action_low=before.action_low, action_high=before.action_high)
            before = replace(before, pixels_key=now.pixels_key, action_repeat=now.action_repeat)
        for name in (
            "pixels_key",
            "proprioception",
            "action_low",
            "action_high",
            "action_repeat",
        ):
            seen, expected = getattr(now, name), getattr(before, name)
            if seen != expected:
                raise ValueError(
                    f"The config is for {before.id} with {name} {expected}, but the environment "
                    f"{now.id} has {seen}; make the environment that the model was trained in, "
                    "or start with a new config."
                )
        # The order that the model's weights have learned.
        now = replace(now, proprioception=before.proprioception)
        if now.id != before.id:
            _log.warning("The model was trained in %s and continues in %s.", before.id, now.id)
    return config.replace(environment=now)


def _check_like_dataset(now: EnvironmentConfig, dataset: EnvironmentConfig) -> None:
    """Refuses an environment that is not like the data set that a model is of.

    Raises:
        ValueError: In a sentence that tells what to do.
    """
    if now.proprioception != dataset.proprioception:
        here, there = now.proprioception or "none", dataset.proprioception or "none"
        raise ValueError(
            f"The model is of {dataset.id}, with the proprioception {there}, but the environment "
            f"{now.id} has {here}; let it observe the same, under the same names, in a Dict beside "
            "the frames."
        )
    if len(now.action_low) != len(dataset.action_low):
        raise ValueError(
            f"The model is of {dataset.id}, with {len(dataset.action_low)} action dimensions, but "
            f"the environment {now.id} has {len(now.action_low)}; take one that acts as was "
            "recorded."
        )
    # Spaces have float32's numbers.
    own, known = (
        np.array([each.action_low, each.action_high], np.float32) for each in (now, dataset)
    )
    if (own != known).any():
        raise ValueError(
            f"The model is of {dataset.id}, with actions from {[*dataset.action_low]} to "
            f"{[*dataset.action_high]}, but the environment {now.id} takes others; put "
            "core_repr.ActionBounds with these numbers around it."
        )


def _warn_of_crop(sizes: WorldModelConfig) -> None:
    """Says how much of each frame the agent will not see, where it is more than usual."""
    side, crop = sizes.frame_size, sizes.crop_size
    if crop < 0.8 * side:
        _log.warning(
            "With world_model.frame_size=%d and crop_size=%d, the agent acts on the central %d %% "
            "of a frame: %.0f pixels (%.0f %%) beyond each border are never seen while acting; "
            "leave crop_size out, which then follows the frame, or make the frames smaller.",
            side,
            crop,
            round(100 * (crop / side) ** 2),
            (side - crop) / 2,
            50 * (side - crop) / side,
        )


def describe_environment(env: VecEnv) -> EnvironmentConfig:
    """Returns what a model's config records of the environment that it is trained in.

    Args:
        env: The environment.

    Raises:
        TypeError: If its observations hold no RGB frames.
        ValueError: If beside the frames there is more than proprioception, or an argument of
            ``gym.make`` would not come back equal from a saved config.
    """
    spec = env.get_attr("spec")[0]
    action_space = bounded(env.action_space)
    pixels_key = find_pixels(env.observation_space)
    arguments = {} if spec is None else dict(spec.kwargs)
    wrappers, unknown = ([], []) if spec is None else worn(spec)
    for name in unknown:
        _log.warning(
            "The model's config does not tell of the wrapper %s, whose arguments are not known or "
            "not plain: core-repr makes %s without it for evaluations and demos. Derive it from "
            "gymnasium.utils.RecordConstructorArgs, or register the whole with gymnasium.register.",
            name,
            spec.id,
        )
    if arguments.get("render_mode") != "rgb_array":
        arguments.pop("render_mode", None)
    registered = None if spec is None else gym.registry.get(spec.id)
    if registered is not None and spec.max_episode_steps != registered.max_episode_steps:
        # gym.make counts its own steps, and takes −1 for no limit.
        limit = spec.max_episode_steps
        arguments["max_episode_steps"] = -1 if limit is None else limit * held_by_wrappers(env)
    return EnvironmentConfig(
        id=env.env_method("__str__")[0] if spec is None else spec.id,
        arguments=plain_arguments(arguments),
        action_low=tuple(float(low) for low in action_space.low.flatten()),
        action_high=tuple(float(high) for high in action_space.high.flatten()),
        action_repeat=action_repeat(env),
        pixels_key=pixels_key,
        proprioception=find_proprioception(env.observation_space, pixels_key),
        wrappers=tuple(wrappers),
    )


def observation_space(config: CoReConfig) -> spaces.Space[Any]:
    """Returns the observation space that a config records, proprioception without bounds."""
    side, environment = config.world_model.frame_size, config.environment
    assert environment is not None
    frames = spaces.Box(0, 255, (side, side, 3), np.uint8)
    if environment.pixels_key is None:
        return frames
    others = [
        (key, spaces.Box(-np.inf, np.inf, (size,), np.float32))
        for key, size in environment.proprioception.items()
    ]
    # Of a dictionary, Gymnasium would sort the names.
    return spaces.Dict([(environment.pixels_key, frames), *others])


def action_space(environment: EnvironmentConfig) -> spaces.Box:
    """Returns the action space that a config records."""
    low = np.array(environment.action_low, np.float32)
    return spaces.Box(low, np.array(environment.action_high, np.float32), dtype=np.float32)
