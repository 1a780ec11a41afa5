from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVecEnvWrapper

ACTIONS = np.zeros((2, 2), np.float32)


@pytest.fixture
def make_venv(ending_pixels: Callable[..., Any]) -> Callable[..., DummyVecEnv]:
    return lambda lengths=(2, 3): DummyVecEnv(
        [lambda own=own: ending_pixels([own]) for own in lengths]
    )


def play(venv: VecEnv, steps: int = 6) -> np.ndarray:
    return np.stack([venv.reset(), *(venv.step(ACTIONS)[0] for _ in range(steps))])


def test_spaces_and_what_passes_unchanged(
    make_venv: Callable[..., DummyVecEnv], model: CoReWorldModel
) -> None:
    pixels = make_venv()
    venv = CoReVecEnvWrapper(pixels, model)
    assert venv.observation_space == gym.spaces.Box(-np.inf, np.inf, (14,), np.float32)
    assert venv.action_space == pixels.action_space and venv.model is model
    assert venv.reset().shape == (2, 14)
    actions = np.array([[-2, 3], [1, 1]], np.float32)
    observations, rewards, dones, infos = venv.step(actions)
    assert observations.dtype == np.float32 and rewards.tolist() == [1, 2] and not dones.any()
    assert "terminal_observation" not in infos[0]
    assert np.array_equal(pixels.envs[0].unwrapped.episodes[0].actions[0], actions[0])  # type: ignore[attr-defined]
    _, _, dones, infos = venv.step(actions)
    assert dones.tolist() == [True, False] and infos[0]["TimeLimit.truncated"]
    assert infos[0]["terminal_observation"] in venv.observation_space
    venv.close()


@pytest.mark.parametrize("before", [False, True])
def test_a_seed_fixes_the_latents_also_if_it_was_set_before(
    make_venv: Callable[..., DummyVecEnv], model: CoReWorldModel, before: bool
) -> None:
    outcomes = []
    for seed in (1, 1, 2):
        pixels = make_venv()
        if before:
            pixels.seed(seed)
        venv = CoReVecEnvWrapper(pixels, model, features="sample")
        if not before:
            venv.seed(seed)
        outcomes.append(play(venv))
    assert np.array_equal(outcomes[0], outcomes[1])
    assert not np.array_equal(outcomes[0], outcomes[2])


def test_below_sb3_s_wrappers(make_venv: Callable[..., DummyVecEnv], model: CoReWorldModel) -> None:
    plain = CoReVecEnvWrapper(make_venv(), model)
    plain.seed(0)
    latents = play(plain)
    for below in (VecTransposeImage, lambda venv: VecFrameStack(venv, 3)):
        venv = CoReVecEnvWrapper(below(make_venv()), model)
        venv.seed(0)
        assert np.array_equal(play(venv), latents)


def test_above_sb3_s_wrappers(make_venv: Callable[..., DummyVecEnv], model: CoReWorldModel) -> None:
    venv = VecNormalize(VecMonitor(CoReVecEnvWrapper(make_venv((4, 6)), model)))
    venv.seed(0)
    venv.reset()
    episodes = []
    for _ in range(12):
        observations, _, _, infos = venv.step(ACTIONS)
        assert np.isfinite(observations).all() and np.abs(observations).max() <= 10
        for info in infos:
            if "terminal_observation" in info:
                assert np.abs(info["terminal_observation"]).max() <= 10
                episodes.append(info["episode"]["l"])
    assert sorted(episodes) == [4, 4, 4, 6, 6]


def test_pixels_are_kept(make_venv: Callable[..., DummyVecEnv], model: CoReWorldModel) -> None:
    pixels = make_venv()
    venv = CoReVecEnvWrapper(pixels, model, keep="pixels")
    observations = venv.reset()
    assert isinstance(observations, dict) and observations["latent"].shape == (2, 14)
    for _ in range(2):
        observations, _, _, infos = venv.step(ACTIONS)
    first, second = pixels.envs[0].unwrapped.episodes  # type: ignore[attr-defined]
    assert np.array_equal(observations["pixels"][0], second.frames[0])
    last = infos[0]["terminal_observation"]
    assert last in venv.observation_space and np.array_equal(last["pixels"], first.frames[-1])


def test_the_environments_are_compared_with_the_model_s(model: CoReWorldModel) -> None:
    name = "core-repr-tests/Pixels-v0"
    CoReVecEnvWrapper(make_vec_env(name, 2), model)
    with pytest.warns(UserWarning, match="length is 3, not 8") as caught:
        CoReVecEnvWrapper(make_vec_env(name, 2, env_kwargs={"length": 3}), model)
    assert __file__ in [warning.filename for warning in caught]


def test_information_of_resets_is_passed_on(
    make_venv: Callable[..., DummyVecEnv], model: CoReWorldModel
) -> None:
    pixels = make_venv()
    venv = CoReVecEnvWrapper(pixels, model)
    pixels.envs[0].unwrapped.reset = lambda **_: (pixels.buf_obs[None][0], {"mark": 1})  # type: ignore[method-assign]
    venv.reset()
    assert venv.reset_infos == [{"mark": 1}, {}]


def test_other_things_than_vectors_of_sb3_are_refused(
    make_pixels: Callable[..., Any], model: CoReWorldModel
) -> None:
    with pytest.raises(TypeError, match=r"not a OrderEnforcing.*CoReWrapper"):
        CoReVecEnvWrapper(make_pixels(), model)
