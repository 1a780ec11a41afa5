"""Episodes: seeds, recurrent state, endings and statistics."""

from __future__ import annotations

import json
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from core_repr.evaluation import Evaluation, RandomAgent, evaluate


class Counter(gym.Env[np.ndarray, np.ndarray]):
    """Pays one for an action at or above zero; an episode ends after as many steps as its seed."""

    observation_space = gym.spaces.Box(0, 100, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, truncates: bool = False) -> None:
        self._truncates = truncates
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self._left = self._length = seed or 1
        return self._observation(), {}

    def step(self, action: np.ndarray) -> Any:
        assert self._left > 0, "stepped after the end"
        self._left -= 1
        ended = self._left == 0
        reward = float(action[0] >= 0)
        return self._observation(), reward, ended and not self._truncates, ended, {}

    def _observation(self) -> np.ndarray:
        return np.array([self._left, self._length], np.float32)


class Recurrent:
    """Counts its steps in the state, and complains when the state or its flag is wrong."""

    def __init__(self) -> None:
        self.deterministic: set[bool] = set()

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: Any = 0
    ) -> tuple[np.ndarray, int]:
        assert episode_start.shape == (1,) and episode_start.dtype == bool
        first = observation[0] == observation[1]
        assert episode_start[0] == first == (state is None)
        count = 0 if state is None else state + 1
        assert count == observation[1] - observation[0]
        self.deterministic.add(deterministic)
        return np.ones(1, np.float32), count


@pytest.mark.parametrize("truncates", [False, True])
def test_episodes_are_whole_and_seeded(truncates: bool) -> None:
    env, seen, progress = Counter(truncates), [], []
    outcome = evaluate(
        Recurrent(),
        env,
        episodes=3,
        seed=4,
        progress=lambda episode, value: progress.append((episode, value)),
        on_step=lambda env, observation: seen.append(observation),
    )
    assert outcome == Evaluation((4.0, 5.0, 6.0), (4, 5, 6), (4, 5, 6))
    assert env.seeds == [4, 5, 6]
    assert progress == [(1, 4.0), (2, 5.0), (3, 6.0)]
    assert len(seen) == 4 + 5 + 6 + 3


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_reaches_the_agent(deterministic: bool) -> None:
    agent = Recurrent()
    evaluate(agent, Counter(), episodes=1, seed=2, deterministic=deterministic)
    assert agent.deterministic == {deterministic}


def test_stable_baselines3_agents_fit() -> None:
    from stable_baselines3 import SAC

    env = Counter()
    outcome = evaluate(SAC("MlpPolicy", env), env, episodes=2, seed=3)
    assert outcome.lengths == (3, 4)


def test_the_random_agent_has_its_own_seed() -> None:
    env = Counter()
    outcomes = [evaluate(RandomAgent(env.action_space, seed), env, 3, 20) for seed in (1, 1, 2)]
    assert outcomes[0] == outcomes[1] != outcomes[2]
    assert (
        env.action_space.seed is not None
        and RandomAgent(env.action_space).predict(None)[0] in env.action_space
    )


def test_mean_and_standard_error() -> None:
    outcome = Evaluation((1.0, 2.0, 6.0), (1, 1, 1), (0, 1, 2))
    assert outcome.mean == 3.0
    # Variance (4 + 1 + 9) / 2 = 7.
    assert outcome.standard_error == pytest.approx(math.sqrt(7 / 3))
    assert Evaluation((5.0, 5.0), (1, 1), (0, 1)).standard_error == 0.0


def test_what_is_not_a_number_is_none_in_json() -> None:
    single = Evaluation((5.0,), (1,), (0,))
    assert math.isnan(single.standard_error)
    assert json.loads(json.dumps(single.to_dict(), allow_nan=False)) == {
        "mean": 5.0,
        "standard_error": None,
        "returns": [5.0],
        "lengths": [1],
        "seeds": [0],
    }
    broken = Evaluation((math.nan, 1.0), (1, 1), (0, 1)).to_dict()
    assert (broken["mean"], broken["returns"]) == (None, [None, 1.0])


def test_no_action_that_is_not_finite_reaches_an_environment() -> None:
    class Broken:
        def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
            return np.array([np.nan if observation[0] == 3 else 1], np.float32), None

    env = Counter()
    with pytest.raises(ValueError, match=r"step 2 of the episode with seed 5 is \[nan\]"):
        evaluate(Broken(), env, 1, seed=5)
    assert env._left == 3


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="episodes is 0"):
        evaluate(Recurrent(), Counter(), episodes=0)
    vector = gym.vector.SyncVectorEnv([Counter])
    with pytest.raises(TypeError, match="SyncVectorEnv"):
        evaluate(Recurrent(), vector, episodes=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0, 0 and 0"):
        Evaluation((), (), ())


def test_an_episode_without_an_end_is_refused() -> None:
    assert evaluate(Recurrent(), Counter(), 2, seed=6, max_steps=7).lengths == (6, 7)
    with pytest.raises(ValueError, match=r"seed 8 has not ended after 7 steps: .*time limit"):
        evaluate(Recurrent(), Counter(), 2, seed=7, max_steps=7)


class Paid(Counter):
    """Pays what it is told to."""

    def __init__(self, reward: Any) -> None:
        super().__init__()
        self._reward = reward

    def step(self, action: np.ndarray) -> Any:
        observation, _, *rest = super().step(action)
        return observation, self._reward, *rest


def test_an_array_of_one_is_a_reward() -> None:
    assert evaluate(Recurrent(), Paid(np.array([0.5])), 1, seed=4).returns == (2.0,)
    for reward in (np.array([0.5, 0.5]), np.array([np.nan]), None):
        with pytest.raises(ValueError, match=r"reward of step 0 .* not one finite number"):
            evaluate(Recurrent(), Paid(reward), 1, seed=4)
