"""Environments in other processes: the model in this one, or one in each of those."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from core_repr.adapters.grey import is_from_grayscale
from core_repr.config import EnvironmentConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVecEnvWrapper, CoReVectorWrapper, CoReWrapper
from core_repr.wrappers.environment_check import differences

PIXELS = "core-repr-tests/Pixels-v0"
LENGTHS = (2, 3, 3)
ACTIONS = np.ones((3, 2), np.float32)


@pytest.fixture
def functions(ending_pixels: Callable[..., Any]) -> list[Callable[[], gym.Env[Any, Any]]]:
    return [lambda own=own: ending_pixels([own]) for own in LENGTHS]  # type: ignore[misc]


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """A process that has computed with threads must not make its children wait for them."""
    torch.set_num_threads(2)
    torch.ones(300, 300) @ torch.ones(300, 300)
    yield
    torch.set_num_threads(1)


def same(first: Any, second: Any) -> None:
    assert [latent is None for latent in first] == [latent is None for latent in second]
    for one, other in zip(first, second, strict=True):
        if one is not None:
            assert np.array_equal(one, other)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("shared_memory", [False, True])
def test_async_vectors_give_what_sync_vectors_give(
    functions: Any, model: CoReWorldModel, mode: AutoresetMode, shared_memory: bool
) -> None:
    pixels = AsyncVectorEnv(functions, shared_memory=shared_memory, autoreset_mode=mode, copy=False)
    envs = CoReVectorWrapper(pixels, model, features="sample")
    plain = CoReVectorWrapper(
        SyncVectorEnv(functions, autoreset_mode=mode), model, features="sample"
    )
    with closing(envs):
        same(envs.reset(seed=1)[0], plain.reset(seed=1)[0])
        for _ in range(8):
            seen, _, _, over, infos = envs.step(ACTIONS)
            expected, *_, expected_infos = plain.step(ACTIONS)
            same(seen, expected)
            same(infos.get("final_obs", ()), expected_infos.get("final_obs", ()))
            if mode == AutoresetMode.DISABLED and over.any():
                options = [{"reset_mask": over.copy()} for _ in range(2)]
                same(envs.reset(options=options[0])[0], plain.reset(options=options[1])[0])


def test_subprocesses_of_sb3_give_what_its_dummies_give(
    functions: Any, model: CoReWorldModel
) -> None:
    outcomes = []
    for pixels in (SubprocVecEnv(functions, start_method="fork"), DummyVecEnv(functions)):
        venv = CoReVecEnvWrapper(pixels, model, features="sample")
        venv.seed(3)
        outcome = [*venv.reset()]
        for _ in range(7):
            seen, _, _, infos = venv.step(ACTIONS)
            outcome += [*seen, *(info.get("terminal_observation") for info in infos)]
        venv.close()
        outcomes.append(outcome)
    same(*outcomes)


def test_a_wrapped_environment_in_each_process(functions: Any) -> None:
    name = "cartpole-swingup-easy-v0"

    class Frames(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(0, 255, (72, 72, 3), np.uint8)
        action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

        def reset(self, **arguments: Any) -> Any:
            super().reset(seed=arguments.get("seed"))
            return self.observation_space.low, {}

        def step(self, action: Any) -> Any:
            return self.observation_space.high, 0.0, False, False, {}

    with closing(AsyncVectorEnv([lambda: CoReWrapper(Frames(), name)] * 2)) as envs:
        first = envs.reset(seed=0)[0]
        second = envs.step(np.zeros((2, 1), np.float32))[0]
    plain = CoReWrapper(Frames(), name)
    for seen, expected in ((first, plain.reset()[0]), (second, plain.step(np.zeros(1))[0])):
        np.testing.assert_allclose(seen, np.stack([expected] * 2), atol=1e-6)


def test_the_environments_are_compared_with_the_model_s(functions: Any) -> None:
    trained = EnvironmentConfig("other-v0", {}, (-1.0,), (1.0,), 2)
    own = EnvironmentConfig(PIXELS, {}, (-1.0,), (1.0,), 4)
    for envs in (AsyncVectorEnv(functions[:1]), SubprocVecEnv(functions[:1], start_method="fork")):
        with closing(envs):
            assert differences(envs, trained) == [
                f"it is {PIXELS}",
                "its action repeat is 4, not 2",
            ]
            assert differences(envs, own) == [] and not is_from_grayscale(envs)
            # They are none the worse for having been asked.
            envs.reset()


def test_grey_frames_under_a_stack_are_found_out(make_pixels: Any) -> None:
    def grey() -> gym.Env[Any, Any]:
        env = gym.wrappers.GrayscaleObservation(make_pixels())
        return gym.wrappers.FrameStackObservation(env, 3)

    for envs in (AsyncVectorEnv([grey]), SubprocVecEnv([grey], start_method="fork")):
        with closing(envs):
            assert is_from_grayscale(envs)


def test_the_model_goes_to_other_processes_with_the_environment_and_not_again(
    functions: Any, model: CoReWorldModel
) -> None:
    pixels = AsyncVectorEnv(functions)
    with closing(CoReVectorWrapper(pixels, model)) as envs:
        sent: list[int] = []
        for pipe in pixels.parent_pipes:
            pipe.send = lambda thing, send=pipe.send: (
                sent.append(len(pickle.dumps(thing))),
                send(thing),
            )  # type: ignore[method-assign]
        envs.reset(seed=0)
        for _ in range(4):
            envs.step(ACTIONS)
    # Messages of some numbers each.
    assert len(sent) >= 15 and max(sent) < 500


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_the_suite_in_fresh_processes(start_method: str) -> None:
    name = "distracting_control/cartpole-swingup-v0"

    def wrapped() -> gym.Env[Any, Any]:
        import core_repr

        return core_repr.CoReWrapper(gym.make(name), "cartpole-swingup-easy-v0")

    def pixels() -> gym.Env[Any, Any]:
        import core_repr  # noqa: F401

        return gym.make(name)

    outcomes = []
    for make in (
        lambda: SubprocVecEnv([wrapped] * 2, start_method=start_method),
        lambda: CoReVecEnvWrapper(
            SubprocVecEnv([pixels] * 2, start_method=start_method), "cartpole-swingup-easy-v0"
        ),
        lambda: DummyVecEnv([wrapped] * 2),
    ):
        venv = make()
        venv.seed(0)
        venv.reset()
        outcomes.append(venv.step(np.ones((2, 1), np.float32))[0])
        venv.close()
    for outcome in outcomes[1:]:
        np.testing.assert_allclose(outcome, outcomes[0], atol=1e-4)
