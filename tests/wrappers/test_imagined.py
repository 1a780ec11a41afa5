"""Imagined environments: what the world model says, in the forms of Gymnasium and SB3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC

from core_repr import CoReWorldModel, CoReWrapper, LatentState
from core_repr.config import CoReConfig, make_variant
from core_repr.world_model.objectives import Continuation
from core_repr.wrappers import ImaginedVecEnv, ImaginedVectorEnv, record_states


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    return CoReWorldModel(tiny_config()).eval()


@pytest.fixture
def starts(model: CoReWorldModel) -> LatentState:
    blank = model.initial_state(7)
    return blank.map(torch.randn_like)


def actions(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 3, (count, 2)).astype(np.float32)


def test_a_step_is_one_of_the_prior(model: CoReWorldModel, starts: LatentState) -> None:
    envs = ImaginedVectorEnv(model, starts, horizon=4, num_envs=5)
    observations, _ = envs.reset(seed=3)
    for seed in (np.int64(3), [3, None], np.array([3])):
        np.testing.assert_array_equal(envs.reset(seed=seed)[0], observations)
    # Each episode starts at one of the states.
    rows = [
        int((starts.features - torch.from_numpy(row)).abs().sum(1).argmin()) for row in observations
    ]
    np.testing.assert_array_equal(observations, starts.features[rows])
    generator = torch.Generator().manual_seed(3)
    assert torch.randint(7, (5,), generator=generator).tolist() == rows
    state = starts.at(torch.tensor(rows))
    for t in range(4):
        taken = actions(5)
        observations, rewards, terminated, truncated, info = envs.step(taken)
        noise = torch.randn(5, 5, generator=generator)
        scaled = torch.from_numpy((taken - 0.5) / 2.5)
        with torch.no_grad():
            state = model.dynamics.predict(state, scaled, noise)
        seen = np.stack(info["final_obs"]) if t == 3 else observations
        np.testing.assert_allclose(seen, state.features, atol=1e-5)
        np.testing.assert_allclose(rewards, model.predict_reward(state).detach(), atol=1e-5)
        assert not terminated.any() and truncated.all() == truncated.any() == (t == 3)
    assert info["_final_obs"].all()
    fresh = (starts.features[None] - torch.from_numpy(observations)[:, None]).abs().sum(-1)
    assert (fresh.min(1).values == 0).all()
    envs.step(actions(5))
    before = envs.step(actions(5))[0]
    mask = np.array([True, False, False, True, False])
    after, _ = envs.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert (after[mask] != before[mask]).any(1).all()


def test_sb3_s_form_says_the_same(model: CoReWorldModel, starts: LatentState) -> None:
    envs = ImaginedVectorEnv(model, starts, horizon=3, num_envs=4)
    venv = ImaginedVecEnv(model, starts, horizon=3, num_envs=4)
    venv.seed(5)
    np.testing.assert_array_equal(envs.reset(seed=5)[0], venv.reset())
    for t in range(7):
        taken = actions(4)
        observations, rewards, _, truncated, info = envs.step(taken)
        others, other_rewards, dones, infos = venv.step(taken)
        np.testing.assert_array_equal(observations, others)
        np.testing.assert_array_equal(rewards, other_rewards)
        np.testing.assert_array_equal(truncated, dones)
        for row in range(4):
            assert ("terminal_observation" in infos[row]) == (t % 3 == 2)
            if t % 3 == 2:
                np.testing.assert_array_equal(
                    infos[row]["terminal_observation"], info["final_obs"][row]
                )
                assert infos[row]["TimeLimit.truncated"]
    assert venv.get_attr("render_mode") == [None] * 4
    assert venv.env_is_wrapped(gym.Wrapper) == [False] * 4
    with pytest.raises(AttributeError, match="has no method 'render_it'"):
        venv.env_method("render_it")


@pytest.fixture
def terminating(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    """A model that foresees terminations, half of the steps."""
    config = make_variant(tiny_config(agent={"sequence_length": 6}), "imagination")
    model = CoReWorldModel(config).eval()
    head = model.objectives.objective("continuation", Continuation)
    head.terminations.fill_(1)
    with torch.no_grad():
        head.head[-1].weight.zero_()
        head.head[-1].bias.zero_()
    return model


def test_episodes_terminate_as_often_as_the_model_says(
    terminating: CoReWorldModel, starts: LatentState
) -> None:
    envs = ImaginedVectorEnv(terminating, starts, horizon=2, num_envs=400)
    venv = ImaginedVecEnv(terminating, starts, horizon=2, num_envs=400)
    venv.seed(0)
    envs.reset(seed=0)
    venv.reset()
    _, _, terminated, truncated, info = envs.step(actions(400))
    _, _, dones, infos = venv.step(actions(400))
    assert 150 < terminated.sum() < 250 and not truncated.any()
    np.testing.assert_array_equal(info["_final_obs"], terminated)
    np.testing.assert_array_equal(dones, terminated)
    # Those that went on are at their last step.
    _, _, later, truncated, _ = envs.step(actions(400))
    np.testing.assert_array_equal(truncated, ~terminated)
    _, _, dones, after = venv.step(actions(400))
    np.testing.assert_array_equal(dones, later | truncated)
    for row in range(400):
        if terminated[row]:
            assert infos[row]["TimeLimit.truncated"] is False
        if dones[row]:
            assert after[row]["TimeLimit.truncated"] == (not later[row])


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_agents_learn_in_it_and_act_in_the_real_one(
    model: CoReWorldModel, make_pixels: Callable[..., gym.Env[Any, Any]], algorithm: Any
) -> None:
    env = CoReWrapper(make_pixels(), model)
    starts = record_states(env, 20, seed=0)
    venv = ImaginedVecEnv(model, starts, horizon=5, num_envs=8)
    options = {"n_steps": 4} if algorithm is PPO else {"learning_starts": 8}
    agent = algorithm("MlpPolicy", venv, batch_size=8, **options).learn(64)
    action, _ = agent.predict(env.reset(seed=0)[0])
    assert env.action_space.contains(action)


def test_recorded_states_are_those_that_the_wrapper_was_in(
    model: CoReWorldModel, make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    class Watch:
        seen: list[np.ndarray]
        starts: list[bool]

        def __init__(self) -> None:
            self.seen, self.starts = [], []

        def predict(self, observation: np.ndarray, state: Any, start: np.ndarray) -> Any:
            self.seen.append(observation)
            self.starts.append(bool(start[0]))
            return np.zeros(2, np.float32), state

    env, watch = CoReWrapper(make_pixels(length=4), model), Watch()
    states = record_states(env, 10, watch, random_episodes=0, seed=1)
    np.testing.assert_array_equal(states.features, np.stack(watch.seen))
    assert watch.starts == [t % 4 == 0 for t in range(10)]
    watch.seen.clear()
    record_states(env, 24, watch, random_episodes=0.5, seed=1)
    assert len(watch.seen) == 12
    with pytest.raises(ValueError, match="random_episodes=2 does not do"):
        record_states(env, 1, watch, random_episodes=2)
    one, other = (record_states(env, 6, seed=2).features for _ in range(2))
    assert torch.equal(one, other)


def test_what_cannot_be_imagined_is_refused(
    model: CoReWorldModel, starts: LatentState, tiny_config: Callable[..., CoReConfig]
) -> None:
    for name in ("horizon", "num_envs"):
        with pytest.raises(ValueError, match=f"{name}=0 does not do"):
            ImaginedVectorEnv(model, starts, **{name: 0})
    with pytest.raises(TypeError, match="must be latent states"):
        ImaginedVectorEnv(model, starts.features)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of this model"):
        ImaginedVectorEnv(model, starts.map(lambda field: field[:, :3]))
    with pytest.raises(ValueError, match="of this model"):
        ImaginedVectorEnv(model, starts.at(slice(0, 0)))
    with pytest.warns(UserWarning, match="sequences of 5 frames; what it imagines 6 steps ahead"):
        ImaginedVectorEnv(model, starts, horizon=6)
    for variant, message in (("no-reward", "without the objective 'reward'"), ("rsac", "reward")):
        other = CoReWorldModel(make_variant(tiny_config(agent={"joint_update": False}), variant))
        with pytest.raises(ValueError, match=message):
            ImaginedVectorEnv(other, starts)
    without_prior = tiny_config(objectives={"kl": None, "frames": {"decoded": "posterior"}})
    with pytest.raises(ValueError, match="has no prior"):
        ImaginedVectorEnv(CoReWorldModel(without_prior), starts)
    env = gym.make("core-repr-tests/Pixels-v0")
    with pytest.raises(ValueError, match="steps=0 does not do"):
        record_states(CoReWrapper(env, model), 0)
