"""How far ahead a world model knows the rewards: imagined ones against those that came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core_repr.agent import SequenceAlgorithm
from core_repr.evaluation.episodes import Evaluation
from core_repr.world_model import CoReWorldModel, LatentState

HORIZONS = (1, 3, 5, 10)
"""Agent steps ahead."""


class _Episode(NamedTuple):
    states: list[LatentState]
    actions: list[Tensor]
    rewards: list[float]


class Played(NamedTuple):
    """An episode of T steps, as a world model has seen it.

    Attributes:
        states: Those that actions were taken in, ``(T, ...)``.
        actions: In [−1, 1], ``(T, A)``.
        rewards: That followed, ``(T,)``.
    """

    states: LatentState
    actions: Tensor
    rewards: NDArray[Any]


class Foresight(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps, while an agent acts, what tells how good its world model's imagination is.

    It is the agent and the environment of one evaluation.

    Args:
        agent: Acts, and imagines.
        env: One environment, for the whole evaluation.

    Example:
        >>> from core_repr import load_agent
        >>> from core_repr.environments import make_environment
        >>> from core_repr.evaluation import Foresight, evaluate
        >>> agent = load_agent("cartpole-swingup-easy-v0", device="cpu")
        >>> foresight = Foresight(agent, make_environment(agent.environment_config, split="val"))
        >>> _ = evaluate(foresight, foresight, episodes=1)
        >>> [*foresight.r2()]
        [1, 3, 5, 10]
    """

    def __init__(self, agent: SequenceAlgorithm, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._agent = agent
        self._episodes: list[_Episode] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        self._episodes.append(_Episode([], [], []))
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step, and keeps its reward."""
        result = self.env.step(action)
        self._episodes[-1].rewards.append(np.asarray(result[1], np.float64).item())
        return result

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Acts as the agent does, and keeps its latent state."""
        action, after = self._agent.policy.predict(observation, state, episode_start, deterministic)
        states, actions, _ = self._episodes[-1]
        states.append(after.latent.at(0))
        actions.append(after.action[0])
        return action, after

    def to_dict(self, evaluation: Evaluation) -> dict[str, Any]:
        """The outcome of the evaluation as JSON knows it, with the scores of :meth:`r2`."""
        scores = {str(horizon): score for horizon, score in self.r2().items()}
        return {**evaluation.to_dict(), "imagined_reward_r2": scores}

    @torch.no_grad()
    def r2(self) -> dict[int, float | None]:
        """Scores the rewards that the world model imagines from every state of the episodes.

        The actions are those that were taken, and the means of the prior continue.

        Returns:
            Agent steps ahead → R² of the reward of that step: 1 is perfect, 0 no better than the
            mean. ``None`` where the rewards are all the same or no episode is as long. Empty for
            a model that imagines no rewards.
        """
        played = [
            Played(LatentState.stack(states), torch.stack(actions), np.array(rewards))
            for states, actions, rewards in self._episodes
        ]
        return imagined_reward_r2(self._agent.world_model, played)


@torch.no_grad()
def imagined_reward_r2(
    model: CoReWorldModel, episodes: Sequence[Played]
) -> dict[int, float | None]:
    """Scores the rewards that a world model imagines from every state of some episodes.

    Args:
        model: The model.
        episodes: What it has seen of them.

    Returns:
        As :meth:`Foresight.r2`.
    """
    objectives = model.config.objectives
    if not (objectives.use_prior and objectives.reward):
        return {}
    scores: dict[int, float | None] = {}
    for horizon in HORIZONS:
        imagined, real = [], []
        for states, actions, rewards in episodes:
            count = len(rewards) - horizon + 1
            if count < 1:
                continue
            taken = torch.stack([actions[step : step + count] for step in range(horizon)])
            last = model.imagine(states.map(lambda f, n=count: f[:n]), taken).at(-1)
            imagined.append(model.predict_reward(last).float().cpu().numpy())
            real.append(rewards[horizon - 1 :])
        scores[horizon] = _r2(np.concatenate(imagined), np.concatenate(real)) if real else None
    return scores


def _r2(found: NDArray[Any], wanted: NDArray[Any]) -> float | None:
    spread = float(wanted.var())
    return 1 - float(((found - wanted) ** 2).mean()) / spread if spread > 1e-12 else None
