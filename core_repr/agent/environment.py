"""Which environments CoReSAC learns in, what their steps must be, and what a config records."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from core_repr.agent.observations import ObservationReader
from core_repr.config import CoReConfig, EnvironmentConfig, WorldModelConfig

_log = logging.getLogger(__name__)


class CheckedSteps(gym.Wrapper[Any, Any, Any, Any]):
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

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes a step."""
        self._step += 1
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._check(observation)
        if not np.isfinite(float(reward)):
            raise ValueError(f"{self._where} gave the reward {reward}, which is not finite.")
        return observation, reward, terminated, truncated, info

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

    Args:
        config: A config, perhaps with the environment of an earlier training.
        env: Where to learn now.

    Raises:
        ValueError: If the observations are not such as CoReSAC takes, or the earlier
            environment's proprioception or actions were others.
    """
    reader = ObservationReader(env.observation_space, config.world_model.frame_size)
    now, before = describe_environment(env, reader), config.environment
    if before is None:
        _warn_of_crop(config.world_model)
    else:
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
            _log.warning("The model was trained in %s and goes on in %s.", before.id, now.id)
    return config.replace(environment=now)


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


def describe_environment(env: VecEnv, reader: ObservationReader) -> EnvironmentConfig:
    """Returns what a model's config records of the environment that it is trained in.

    Args:
        env: The environment.
        reader: Reads its observations.

    Raises:
        ValueError: If an argument of ``gym.make`` is none that JSON knows.
    """
    spec = env.get_attr("spec")[0]
    action_space = env.action_space
    assert isinstance(action_space, spaces.Box)
    arguments = {} if spec is None else dict(spec.kwargs)
    arguments.pop("render_mode", None)
    try:
        arguments = json.loads(json.dumps(arguments))
    except TypeError as error:
        raise ValueError(
            f"The environment's arguments cannot be written to a model's config ({error}); "
            "pass plain numbers, strings, lists and dictionaries to gym.make."
        ) from None
    return EnvironmentConfig(
        id=env.env_method("__str__")[0] if spec is None else spec.id,
        arguments=arguments,
        action_low=tuple(float(low) for low in action_space.low.flatten()),
        action_high=tuple(float(high) for high in action_space.high.flatten()),
        action_repeat=env.get_attr("action_repeat")[0] if env.has_attr("action_repeat") else 1,
        pixels_key=reader.pixels_key,
        proprioception=reader.proprioception,
    )


def action_space(environment: EnvironmentConfig) -> spaces.Box:
    """Returns the action space that a config records."""
    low = np.array(environment.action_low, np.float32)
    return spaces.Box(low, np.array(environment.action_high, np.float32), dtype=np.float32)


def check_actions(actions: spaces.Space[Any]) -> None:
    """Raises a ``ValueError`` if actions are not a bounded ``Box``."""
    if not isinstance(actions, spaces.Box) or not (
        np.isfinite(actions.low).all() and np.isfinite(actions.high).all()
    ):
        raise ValueError(
            f"CoReSAC needs a bounded Box of continuous actions, not {actions}; "
            "give the environment such an action_space with gymnasium.wrappers.TransformAction."
        )
