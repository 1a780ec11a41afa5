"""Discrete actions as a Box."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from core_repr import OneHotAction
from core_repr.wrapping import parse_wrapper


def test_the_largest_number_names_the_action() -> None:
    env = OneHotAction(gym.make("CartPole-v1"))
    check_env(env, skip_render_check=True)
    assert env.action_space == spaces.Box(-1, 1, (2,), np.float32)
    assert [env.action(np.array(each)) for each in ([0.1, -1.0], [-1.0, -0.9], [0.5, 0.5])] == [
        0,
        1,
        0,
    ]
    assert isinstance(gym.make(env.spec), OneHotAction)
    assert parse_wrapper("OneHotAction").arguments == {}


def test_discrete_actions_may_start_anywhere() -> None:
    env = gym.make("CartPole-v1").unwrapped
    env.action_space = spaces.Discrete(3, start=-1)
    wrapped = OneHotAction(env)
    assert [int(wrapped.action(row)) for row in np.eye(3)] == [-1, 0, 1]


def test_other_actions_are_refused() -> None:
    with pytest.raises(TypeError, match=r"takes discrete actions, not Box\("):
        OneHotAction(gym.make("Pendulum-v1"))
