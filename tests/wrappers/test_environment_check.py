"""What is told of an environment that the model was not trained in."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from core_repr.adapters.grey import is_from_grayscale
from core_repr.config import EnvironmentConfig
from core_repr.wrappers.environment_check import differences, renders_as_trained

SUITE = "distracting_control/cartpole-swingup-v0"
PIXELS = "core-repr-tests/Pixels-v0"
VIEWS = {
    "single": lambda make: make(),
    "below a wrapper": lambda make: gym.wrappers.TimeLimit(make(), 3),
    "vector": lambda make: SyncVectorEnv([make, make]),
    "below a wrapper of vectors": lambda make: gym.wrappers.vector.ClipReward(
        SyncVectorEnv([make]), min_reward=-1
    ),
    "SB3": lambda make: DummyVecEnv([make, make]),
    "below a wrapper of SB3": lambda make: VecFrameStack(DummyVecEnv([make]), 3),
}


def trained(
    environment_id: str = PIXELS, arguments: dict[str, Any] | None = None, repeat: int = 4
) -> EnvironmentConfig:
    return EnvironmentConfig(environment_id, arguments or {}, (-1.0,), (1.0,), repeat)


@pytest.mark.parametrize("view", VIEWS)
def test_all_views_of_an_environment_tell_the_same(view: str) -> None:
    env = VIEWS[view](lambda: gym.make(PIXELS, length=3))
    assert differences(env, trained(arguments={"length": 3})) == []
    assert differences(env, trained(arguments={"terminates": True}, repeat=2)) == [
        "length is 3, not 8",
        "terminates is False, not True",
        "its action repeat is 4, not 2",
    ]
    assert differences(env, trained("other-v0")) == [f"it is {PIXELS}"]


def test_a_vector_made_by_its_name() -> None:
    for mode in ("sync", "async"):
        envs = gym.make_vec(SUITE, 1, vectorization_mode=mode, camera=False, frame_size=16)
        assert differences(envs, trained(SUITE, repeat=8)) == []
        assert differences(envs, trained(SUITE, {"task": "walker-walk"}, 4)) == [
            "task is 'cartpole-swingup', not 'walker-walk'",
            "its action repeat is 8, not 4",
        ]
        envs.close()


def test_what_latents_are_robust_to_is_no_difference() -> None:
    for change in (
        {"difficulty": "hard"},
        {"difficulty": None, "dynamic": True},
        {"difficulty": "easy", "num_videos": 3, "backgrounds": None, "color": False},
        {"split": "val"},
        {"render_mode": "rgb_array", "clean_frames": True, "physics_state": True},
    ):
        env = gym.make(SUITE, **change)
        recorded = {"task": "cartpole-swingup", "difficulty": "easy", "frame_size": 72}
        assert differences(env, trained(SUITE, recorded, 8)) == []
        env.close()
    env = gym.make(SUITE, rendering="full")
    assert differences(env, trained(SUITE, {}, 8)) == ["rendering is 'full', not 'fast'"]
    env.close()


def test_defaults_and_json_make_no_difference() -> None:
    class Numbers(gym.Env[Any, Any]):
        observation_space = action_space = gym.spaces.Box(-1, 1, (1,))

        def __init__(self, sizes: Any = (1, 2), **others: Any) -> None:
            self.others = others

    gym.register("core-repr-tests/Numbers-v0", Numbers, disable_env_checker=True)
    name = "core-repr-tests/Numbers-v0"
    for arguments in ({}, {"sizes": (1, 2)}, {"sizes": [1, 2]}, {"new": 1}):
        env = gym.make(name, **arguments)
        assert differences(env, trained(name, {"sizes": [1, 2]}, 1)) == []
        assert differences(env, trained(name, {"old": 5}, 1)) == []
    (only,) = differences(gym.make(name, both=1), trained(name, {"both": 2}, 1))
    assert only == "both is 1, not 2"


def test_an_environment_that_was_not_made_by_its_name_tells_nothing() -> None:
    env = gym.make(PIXELS).unwrapped
    env.spec = None
    assert differences(env, trained("other-v0", {"length": 1}, 9)) == []


def test_an_environment_s_own_attributes_are_not_taken_for_layers() -> None:
    env = gym.make(PIXELS)
    vars(env.unwrapped).update(envs=[1, 2], venv="here")
    assert differences(env, trained()) == [] and not is_from_grayscale(env)


def test_frames_are_of_the_training_s_size_as_far_as_arguments_tell() -> None:
    env = gym.make(SUITE, difficulty="hard", render_mode="rgb_array")
    recorded = {"task": "cartpole-swingup", "difficulty": "easy", "frame_size": 72}
    assert renders_as_trained(env, trained(SUITE, recorded))
    assert not renders_as_trained(env, trained(SUITE, {**recorded, "frame_size": 84}))
    assert not renders_as_trained(env, trained(SUITE, {**recorded, "width": 84}))
    assert not renders_as_trained(env, trained("other-v0", recorded))
    env.unwrapped.spec = None
    assert not renders_as_trained(env, trained(SUITE, recorded))
    env.close()
