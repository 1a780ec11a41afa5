"""Actions that are held."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core_repr import ActionRepeat
from core_repr.environments import EnvironmentChoice
from core_repr.wrapping import parse_wrapper

PIXELS = "core-repr-tests/Pixels-v0"


@pytest.mark.parametrize("terminates", [False, True])
def test_rewards_add_up_until_the_episode_ends(terminates: bool) -> None:
    env = ActionRepeat(gym.make(PIXELS, length=8, terminates=terminates), 3)
    env.reset(seed=0)
    own, action = env.unwrapped, np.ones(2, np.float32)
    outcomes = [env.step(action) for _ in range(3)]
    assert [reward for _, reward, *_ in outcomes] == [6, 6, 4]
    ends = [(terminated, truncated) for _, _, terminated, truncated, _ in outcomes]
    assert ends == [(False, False), (False, False), (terminates, not terminates)]
    assert len(own.episodes[-1].actions) == 8
    for (frame, *_), step in zip(outcomes, (3, 6, 8), strict=True):
        assert np.array_equal(frame, own.episodes[-1].frames[step])


def test_it_is_an_environment_and_is_recorded() -> None:
    env = ActionRepeat(gym.make("Pendulum-v1"), np.int64(4))
    check_env(env, skip_render_check=True)
    again = gym.make(env.spec)
    assert isinstance(again, ActionRepeat) and again.action_repeat == 4
    wrapper = parse_wrapper("ActionRepeat(4)")
    assert wrapper.arguments == {"action_repeat": 4}
    made = EnvironmentChoice("Pendulum-v1", {}, {}, {}, (wrapper,)).make()
    assert made.get_wrapper_attr("action_repeat") == 4


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_steps_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"action_repeat={value}"):
        ActionRepeat(gym.make(PIXELS), value)
