"""Whole episodes of an agent in an environment, and what they returned."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import numpy.typing as npt


class Agent(Protocol):
    """Whatever has Stable-Baselines3's `predict`."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Choose the action for one observation.

        Args:
            observation: One observation of the environment, without a batch dimension.
            state: What the last call returned; None at the start of an episode.
            episode_start: Of shape (1,); True where the observation is an episode's first.
            deterministic: The policy's mean instead of a sample.

        Returns:
            The action, without a batch dimension, and the state for the next call.
        """
        ...


@dataclass(frozen=True)
class Evaluation:
    """The outcome of some episodes.

    Args:
        returns: Each episode's sum of rewards, undiscounted.
        lengths: Each episode's number of agent steps.
        seeds: The seed that each episode was reset with.

    Raises:
        ValueError: If there is no episode, or the three differ in length.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = len(self.returns), len(self.lengths), len(self.seeds)
        if min(sizes) == 0 or len(set(sizes)) > 1:
            raise ValueError(
                "an evaluation needs one return, one length and one seed for each of one or more "
                f"episodes, but got {sizes[0]}, {sizes[1]} and {sizes[2]} of them"
            )

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(np.mean(self.returns))

    @property
    def standard_error(self) -> float:
        """The standard error of the mean return; NaN for a single episode, which has none."""
        if len(self.returns) == 1:
            return math.nan
        return float(np.std(self.returns, ddof=1) / math.sqrt(len(self.returns)))

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON knows it, with None for what is not a finite number."""
        return {
            "mean": _finite(self.mean),
            "standard_error": _finite(self.standard_error),
            "returns": [_finite(value) for value in self.returns],
            "lengths": list(self.lengths),
            "seeds": list(self.seeds),
        }


class RandomAgent:
    """Uniformly random actions: what every agent has to beat.

    Args:
        action_space: The space to draw from. It is copied, so that the environment's own generator
            stays as it is.
        seed: The same seed gives the same actions.
    """

    def __init__(self, action_space: gym.Space[Any], seed: int = 0) -> None:
        self._action_space = deepcopy(action_space)
        self._action_space.seed(seed)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: npt.NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Draw an action; everything but the generator is ignored."""
        return self._action_space.sample(), None


def evaluate(
    agent: Agent,
    env: gym.Env[Any, Any],
    episodes: int,
    seed: int = 0,
    deterministic: bool = True,
    progress: Callable[[int, float], None] | None = None,
    on_step: Callable[[gym.Env[Any, Any], Any], None] | None = None,
    max_steps: int = 100_000,
) -> Evaluation:
    """Let an agent act for some whole episodes. The environment stays open.

    Args:
        agent: Whatever has Stable-Baselines3's `predict`, recurrent or not.
        env: One environment, not a vector of them, that ends its episodes.
        episodes: How many, at least one.
        seed: Episode i is reset with seed + i.
        deterministic: Passed on to the agent.
        progress: Called after each episode with the number of finished episodes and its return.
        on_step: Called with the environment and its observation after each reset and each step,
            for instance to collect frames.
        max_steps: An episode that has not ended after so many steps is taken to have no end.

    Returns:
        The returns, lengths and seeds of the episodes.

    Raises:
        ValueError: If `episodes` is less than one, an action or a reward is not finite, or an
            episode does not end.
        TypeError: If `env` is a vector environment.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}, but an evaluation needs at least 1")
    if hasattr(env, "num_envs"):
        raise TypeError(
            f"env is a vector environment ({type(env).__name__}), but evaluate takes a single one: "
            "make it with gymnasium.make"
        )
    returns, lengths, seeds = [], [], range(seed, seed + episodes)
    for episode, episode_seed in enumerate(seeds):
        observation, _ = env.reset(seed=episode_seed)
        if on_step is not None:
            on_step(env, observation)
        state, episode_start = None, np.ones(1, dtype=bool)
        episode_return, length, finished = 0.0, 0, False
        while not finished:
            action, state = agent.predict(
                observation,
                state=state,
                episode_start=episode_start,
                deterministic=deterministic,
            )
            if not np.isfinite(action).all():
                raise ValueError(
                    f"the agent's action at step {length} of the episode with seed {episode_seed} "
                    f"is {action}, which is not finite: look for what is not finite in the "
                    "observation, or for a model that has diverged"
                )
            observation, reward, terminated, truncated, _ = env.step(action)
            # An array of one is one, as it is for SB3.
            number = np.asarray(reward, np.float64)
            if number.size != 1 or not np.isfinite(number).all():
                raise ValueError(
                    f"the reward of step {length} of the episode with seed {episode_seed} is "
                    f"{reward}, which is not one finite number: look at what the environment does "
                    "there"
                )
            if on_step is not None:
                on_step(env, observation)
            episode_start = np.zeros(1, dtype=bool)
            episode_return += number.item()
            length += 1
            finished = terminated or truncated
            if length == max_steps and not finished:
                raise ValueError(
                    f"the episode with seed {episode_seed} has not ended after {max_steps:,} "
                    "steps: give the environment a time limit, such as gymnasium.make's "
                    "max_episode_steps"
                )
        returns.append(episode_return)
        lengths.append(length)
        if progress is not None:
            progress(episode + 1, episode_return)
    return Evaluation(tuple(returns), tuple(lengths), tuple(seeds))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
