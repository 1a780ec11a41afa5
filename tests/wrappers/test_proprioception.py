from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVecEnvWrapper, CoReVectorWrapper, CoReWrapper

LENGTHS = [[3, 4], [4, 2], [5]]
STEPS = 9


class Arm(gym.ObservationWrapper[Any, Any, Any]):
    """Frames, and joint angles that follow from them."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        angles = spaces.Box(-1, 1, (3,), np.float64)
        entries = {"angles": angles, "camera": env.observation_space, "speed": angles}
        self.observation_space = spaces.Dict(entries)

    def observation(self, observation: NDArray[np.uint8]) -> Any:
        return {"camera": observation, **entries(observation)}


def entries(frame: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    return {"angles": frame[0, 0] / 255, "speed": frame[1, 1] / 255}


@pytest.fixture(scope="module")
def arm_model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    config = tiny_config()
    assert config.environment is not None
    # Not the order of the environment's own Dict.
    environment = replace(
        config.environment, pixels_key="camera", proprioception={"speed": 3, "angles": 3}
    )
    torch.manual_seed(0)
    return CoReWorldModel(config.replace(environment=environment))


def expected_latents(model: CoReWorldModel, episode: Any) -> NDArray[np.float32]:
    """What the learner computes for an episode that was recorded."""
    frames = np.stack(episode.frames)
    proprioception = np.concatenate([frames[:, 1, 1], frames[:, 0, 0]], -1) / 255
    actions = np.stack([*episode.actions, np.zeros(2)])
    with torch.no_grad():
        _, posterior = model.observe(
            torch.from_numpy(frames)[:, None],
            torch.from_numpy(2 * (actions + 2) / 5 - 1).float()[:, None],
            torch.zeros(len(frames), 1, dtype=torch.bool),
            None,
            torch.from_numpy(proprioception).float()[:, None],
        )
    return posterior.features[:, 0].numpy()


def check(model: CoReWorldModel, env: gym.Env[Any, Any], episodes: list[list[Any]]) -> None:
    recorded = env.unwrapped.episodes  # type: ignore[attr-defined]
    assert len(recorded) == len(episodes) > 1
    for episode, latents in zip(recorded, episodes, strict=True):
        expected = expected_latents(model, episode)
        np.testing.assert_allclose(np.stack(latents), expected, atol=1e-4)


def test_single(arm_model: CoReWorldModel, ending_pixels: Callable[..., Any]) -> None:
    env = CoReWrapper(Arm(ending_pixels(LENGTHS[0])), arm_model)
    episodes = [[env.reset(seed=0)[0]]]
    for _ in range(STEPS):
        latent, _, _, over, _ = env.step(env.action_space.sample())
        episodes[-1].append(latent)
        if over:
            episodes.append([env.reset()[0]])
    check(arm_model, env.env, episodes)


def test_vector(arm_model: CoReWorldModel, ending_pixels: Callable[..., Any]) -> None:
    arms = SyncVectorEnv(
        [lambda own=own: Arm(ending_pixels(own)) for own in LENGTHS],
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    envs = CoReVectorWrapper(arms, arm_model)
    episodes = [[[first]] for first in envs.reset(seed=0)[0]]
    for _ in range(STEPS):
        seen, _, _, over, infos = envs.step(envs.action_space.sample())
        for i in range(len(LENGTHS)):
            if over[i]:
                episodes[i][-1].append(infos["final_obs"][i])
                episodes[i].append([])
            episodes[i][-1].append(seen[i])
    for env, own in zip(arms.envs, episodes, strict=True):
        check(arm_model, env, own)


def test_sb3(arm_model: CoReWorldModel, ending_pixels: Callable[..., Any]) -> None:
    arms = DummyVecEnv([lambda own=own: Arm(ending_pixels(own)) for own in LENGTHS])
    venv = CoReVecEnvWrapper(arms, arm_model)
    episodes = [[[first]] for first in venv.reset()]
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        seen, _, over, infos = venv.step(rng.uniform(-2, 3, (3, 2)).astype(np.float32))
        for i in range(len(LENGTHS)):
            if over[i]:
                episodes[i][-1].append(infos[i]["terminal_observation"])
                episodes[i].append([])
            episodes[i][-1].append(seen[i])
    for env, own in zip(arms.envs, episodes, strict=True):
        check(arm_model, env, own)


def test_an_environment_without_the_proprioception_is_refused(
    arm_model: CoReWorldModel, ending_pixels: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match="proprioception 'speed' beside the frames"):
        CoReWrapper(ending_pixels([3]), arm_model)

    class Short(Arm):
        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            short = spaces.Box(-1, 1, (2,))
            self.observation_space = spaces.Dict({**self.observation_space.spaces, "speed": short})

    with pytest.raises(ValueError, match="3 values of proprioception 'speed'"):
        CoReWrapper(Short(ending_pixels([3])), arm_model)
