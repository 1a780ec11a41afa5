"""Narrower bounds of actions, in the same units."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from core_repr import ActionBounds
from core_repr.wrapping import parse_wrapper, worn, wrap

PIXELS = "core-repr-tests/Pixels-v0"


def test_an_action_stays_what_it_is_within_the_bounds() -> None:
    env = ActionBounds(gym.make(PIXELS), [-1, 0.5], [1.5, 9])
    check_env(env, skip_render_check=True)
    assert env.action_space == spaces.Box(np.float32([-1, 0.5]), np.float32([1.5, 9]))
    assert env.action(np.float32([-1, 9])).tolist() == [-1, 3]


def test_it_is_recorded_and_made_again() -> None:
    env = ActionBounds(gym.make(PIXELS), np.float32([-1, 0.5]), (1.5, 2))  # type: ignore[arg-type]
    assert isinstance(gym.make(env.spec), ActionBounds)
    (config,), unknown = worn(env.spec)  # type: ignore[arg-type]
    assert config == parse_wrapper("ActionBounds([-1.0, 0.5], [1.5, 2.0])") and not unknown
    assert wrap(gym.make(PIXELS), [config]).action_space == env.action_space


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ([0], [1, 2], "1 lower and 2 upper bounds, but the environment has 2 action dimensions"),
        ([0, 1], [1, 0], "dimension 1 from 1 to 0, of which the environment, from -2 to 3, takes"),
        ([0, 45], [1, 90], "from 45 to 90, of which"),
        ([np.nan, 0], [1, 1], "dimension 0 from nan to 1"),
    ],
)
def test_bounds_that_cannot_be_are_refused(low: Any, high: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ActionBounds(gym.make(PIXELS), low, high)


def test_other_actions_are_refused() -> None:
    with pytest.raises(TypeError, match=r"takes a Box of continuous actions, not Discrete\(2\)"):
        ActionBounds(gym.make("CartPole-v1"), [0, 0], [1, 1])
