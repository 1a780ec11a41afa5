"""Every algorithm for continuous actions learns on the latents, and so do plain loops."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch import nn

from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVecEnvWrapper, CoReVectorWrapper, CoReWrapper

MakeEnv = Callable[..., gym.Env[Any, Any]]

small = {"policy_kwargs": {"net_arch": [8]}}
off_policy = {**small, "learning_starts": 10, "buffer_size": 100, "batch_size": 8}
ALGORITHMS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any]]] = {
    "PPO": (stable_baselines3.PPO, {**small, "n_steps": 12, "batch_size": 12, "n_epochs": 2}),
    "A2C": (stable_baselines3.A2C, {**small, "n_steps": 6}),
    "SAC": (stable_baselines3.SAC, off_policy),
    "TD3": (stable_baselines3.TD3, off_policy),
    "DDPG": (stable_baselines3.DDPG, off_policy),
    "TQC": (sb3_contrib.TQC, off_policy),
    "CrossQ": (sb3_contrib.CrossQ, off_policy),
    "TRPO": (sb3_contrib.TRPO, {**small, "n_steps": 12, "batch_size": 12}),
    "RecurrentPPO": (
        sb3_contrib.RecurrentPPO,
        {"n_steps": 12, "batch_size": 12, "n_epochs": 2, "policy_kwargs": {"lstm_hidden_size": 8}},
    ),
}


def learns_and_acts_the_same_afterwards(
    name: str, env: gym.Env[Any, Any] | VecEnv, path: Path, steps: int
) -> None:
    algorithm, settings = ALGORITHMS[name]
    policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    # SB3 writes into the dictionary that it is given.
    agent = algorithm(policy, env, seed=0, **deepcopy(settings))
    untrained = {key: value.clone() for key, value in agent.policy.state_dict().items()}
    agent.learn(steps)
    trained = agent.policy.state_dict()
    assert any(not torch.equal(trained[key], value) for key, value in untrained.items())
    assert all(torch.isfinite(value).all() for value in trained.values())
    agent.save(path / "agent")
    again = algorithm.load(path / "agent", env=env)
    observation = agent.get_env().reset()  # type: ignore[union-attr]
    expected, _ = agent.predict(observation, deterministic=True)
    actions, _ = again.predict(observation, deterministic=True)
    assert np.array_equal(actions, expected) and np.isfinite(actions).all()
    # It continues learning, too.
    again.learn(steps // 2, reset_num_timesteps=False)


@pytest.mark.parametrize("vectorised", [False, True], ids=["single", "vectorised"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_learning(
    make_pixels: MakeEnv, model: CoReWorldModel, tmp_path: Path, name: str, vectorised: bool
) -> None:
    env: gym.Env[Any, Any] | VecEnv
    if vectorised:
        env = CoReVecEnvWrapper(DummyVecEnv([make_pixels, make_pixels]), model)
    else:
        env = CoReWrapper(make_pixels(), model)
    learns_and_acts_the_same_afterwards(name, env, tmp_path, 24)


@pytest.mark.slow
@pytest.mark.parametrize("vectorised", [False, True], ids=["single", "vectorised"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_learning_in_the_suite(tmp_path: Path, name: str, vectorised: bool) -> None:
    def pixels() -> gym.Env[Any, Any]:
        return gym.make("distracting_control/cartpole-swingup-v0", difficulty="easy", dynamic=True)

    zoo_name = "cartpole-swingup-easy-v0"
    env: gym.Env[Any, Any] | VecEnv
    if vectorised:
        env = CoReVecEnvWrapper(DummyVecEnv([pixels, pixels]), zoo_name)
    else:
        env = CoReWrapper(pixels(), zoo_name)
    learns_and_acts_the_same_afterwards(name, env, tmp_path, 300)
    env.close()


def test_sb3_s_policies_for_dicts_take_kept_observations(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    class Position(gym.ObservationWrapper[Any, Any, Any]):
        """A number beside the pixels."""

        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            self.observation_space = gym.spaces.Dict(
                pixels=env.observation_space, position=gym.spaces.Box(0, 1, (1,), np.float32)
            )

        def observation(self, observation: Any) -> Any:
            return {"pixels": observation, "position": np.ones(1, np.float32)}

    env = CoReWrapper(Position(make_pixels()), model, keep=["position"])
    agent = stable_baselines3.SAC("MultiInputPolicy", env, **deepcopy(off_policy))
    agent.learn(20)
    assert set(agent.replay_buffer.observations) == {"latent", "position"}  # type: ignore[union-attr]


def test_a_plain_loop(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    """One-step temporal differences, as single-file implementations write them."""
    envs = CoReVectorWrapper(
        SyncVectorEnv([make_pixels] * 3, autoreset_mode=AutoresetMode.SAME_STEP), model
    )
    size = int(np.prod(envs.single_observation_space.shape or ()))
    value = nn.Linear(size, 1)
    optimizer = torch.optim.Adam(value.parameters())
    observations, _ = envs.reset(seed=1)
    finals = 0
    for _ in range(20):
        actions = envs.action_space.sample()
        next_observations, rewards, terminations, truncations, infos = envs.step(actions)
        real_next = next_observations.copy()
        for i in np.flatnonzero(truncations | terminations):
            real_next[i] = infos["final_obs"][i]
            finals += 1
        with torch.no_grad():
            bootstrap = value(torch.tensor(real_next))[:, 0] * torch.tensor(~terminations)
        target = torch.tensor(rewards, dtype=torch.float32) + 0.9 * bootstrap
        loss = (value(torch.tensor(observations))[:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        observations = next_observations
    assert finals == 6 and torch.isfinite(loss)


@pytest.mark.slow
def test_torchrl_takes_it_as_it_is(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    from torchrl.envs import GymWrapper
    from torchrl.envs.utils import check_env_specs

    env = GymWrapper(CoReWrapper(make_pixels(), model))
    check_env_specs(env)
    rollout = env.rollout(20, break_when_any_done=False)
    assert rollout["observation"].shape == (20, 14)
    assert rollout["next", "done"].sum() == 2
    plain = CoReWrapper(make_pixels(), model)
    env.set_seed(0)
    assert np.allclose(env.reset(seed=5)["observation"], plain.reset(seed=5)[0], atol=1e-6)
