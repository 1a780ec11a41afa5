"""Grey frames are found out, also under a stack."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from core_repr.adapters.grey import is_from_grayscale, is_grayscale, refuse_grey

PIXELS = "core-repr-tests/Pixels-v0"
SIDE = 12


class Map(gym.Env[Any, Any]):
    """Observes a map, which looks like a grey picture, and renders in colours."""

    observation_space = gym.spaces.Box(0, 255, (16, 16), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (2,))
    render_mode = "rgb_array"

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros((16, 16), np.uint8), {}

    def render(self) -> Any:
        return np.zeros((16, 16, 3), np.uint8)


class Table(Map):
    """A grid of cells."""

    observation_space = gym.spaces.Box(0, 255, (8, 8), np.uint8)


class Drawn(gym.ObservationWrapper[Any, Any, Any]):
    """Makes frames of what the environment below observes."""

    observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)

    def observation(self, observation: Any) -> Any:
        return np.zeros((16, 16, 3), np.uint8)


def test_grey_frames_under_a_stack_are_found_out() -> None:
    def grey() -> gym.Env[Any, Any]:
        return gym.wrappers.GrayscaleObservation(gym.make(PIXELS), keep_dim=True)

    for env in (
        gym.wrappers.FrameStackObservation(gym.wrappers.GrayscaleObservation(gym.make(PIXELS)), 3),
        VecFrameStack(DummyVecEnv([grey]), 3),
        SyncVectorEnv([grey]),
    ):
        assert is_from_grayscale(env)
    # What is rendered is not what the environment below observes.
    assert not is_from_grayscale(gym.wrappers.AddRenderObservation(Map()))
    # A small table that a wrapper draws a frame of is none.
    assert not is_from_grayscale(Drawn(Table()))
    assert is_from_grayscale(Drawn(Map()))
    stacked = gym.wrappers.FrameStackObservation(gym.make(PIXELS), 3)
    for env in (stacked, DummyVecEnv([lambda: stacked]), SyncVectorEnv([lambda: stacked])):
        assert not is_from_grayscale(env)


def test_an_environment_with_grey_frames_is_refused() -> None:
    grey = gym.wrappers.GrayscaleObservation(gym.make(PIXELS), keep_dim=True)
    with pytest.raises(TypeError, match="made grey on the way"):
        refuse_grey(VecFrameStack(DummyVecEnv([lambda: grey]), 3))
    refuse_grey(gym.make(PIXELS))


def test_grey_frames_are_told_from_others() -> None:
    for shape in ((SIDE, SIDE), (SIDE, SIDE, 1), (1, SIDE, SIDE)):
        assert is_grayscale(spaces.Box(0, 255, shape, np.uint8))
    for space in (
        spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8),
        spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8),
        spaces.Box(0, 255, (1,), np.uint8),
        spaces.Box(0, 255, (SIDE,), np.uint8),
        spaces.Box(0, 255, (4, 4), np.uint8),
        spaces.Box(-1, 1, (SIDE, SIDE), np.float32),
        spaces.Discrete(3),
    ):
        assert not is_grayscale(space)
