"""Vectors of environments, whose last observations are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.adapters.layers import action_repeat, keep_last


@pytest.mark.parametrize("around", [lambda env: env, Monitor])
def test_attributes_of_environments_in_a_vector_are_theirs(
    make_pixels: Callable[..., gym.Env[Any, Any]], around: Callable[[Any], Any]
) -> None:
    env = around(make_pixels())
    vector = DummyVecEnv([lambda: env])
    keep_last(vector)
    vector.set_attr("difficulty", "hard")
    assert env.difficulty == "hard" and vector.get_attr("difficulty") == ["hard"]
    assert vector.envs[0].unwrapped is env.unwrapped
    env.own_method = lambda: 7
    assert vector.envs[0].own_method() == 7
    assert vector.env_is_wrapped(Monitor) == [around is Monitor]
    with pytest.raises(AttributeError):
        vector.get_attr("nothing_like_it")


def test_an_action_repeat_in_a_vector_counts_once(
    make_pixels: Callable[..., gym.Env[Any, Any]],
) -> None:
    vector = DummyVecEnv([make_pixels, make_pixels])
    keep_last(vector)
    assert action_repeat(vector) == action_repeat(vector.envs[0]) == 4
