"""Actions in an environment with other bounds than those that a model was trained with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.agent import CoReSAC, LatentAgent
from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.export import RecurrentStep, describe
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import (
    CoReVecEnvWrapper,
    CoReVectorWrapper,
    CoReWrapper,
    ImaginedVecEnv,
)
from core_repr.wrappers.environment_check import different_bounds

LOW, HIGH = np.float32([-1.0, 0.25]), np.float32([0.5, 2.0])
"""Of the actions in the data set; the environment takes −2 to 3."""


@pytest.fixture(scope="module")
def config(tiny_config: Callable[..., CoReConfig]) -> CoReConfig:
    low, high = ((float(a), float(b)) for a, b in (LOW, HIGH))
    return tiny_config().replace(environment=EnvironmentConfig("dataset/log", {}, low, high))


@pytest.fixture(scope="module")
def of_dataset(config: CoReConfig) -> CoReWorldModel:
    torch.manual_seed(0)
    return CoReWorldModel(config).eval()


def scaled(action: NDArray[np.float32]) -> NDArray[np.float32]:
    """As in a training from the data set."""
    place: NDArray[np.float32] = np.clip(2 * (action - LOW) / (HIGH - LOW) - 1, -1, 1)
    return place


@pytest.mark.filterwarnings("ignore:The model was trained in dataset/log")
def test_wrappers_graph_and_model_of_a_data_set_agree(
    of_dataset: CoReWorldModel, make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    model, steps = of_dataset, 5
    env = CoReWrapper(make_pixels(), model)
    vector = CoReVectorWrapper(SyncVectorEnv([make_pixels]), model)
    venv = CoReVecEnvWrapper(DummyVecEnv([make_pixels]), model)
    venv.seed(3)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]
    assert any((action > HIGH).any() for action in actions)
    seen = [[env.reset(seed=3)[0], vector.reset(seed=3)[0][0], venv.reset()[0]]]
    for action in actions:
        one, many, others = env.step(action), vector.step(action[None]), venv.step(action[None])
        np.testing.assert_allclose(env.last_input[2], scaled(action), atol=1e-6)
        seen.append([one[0], many[0][0], others[0][0]])
    graph = RecurrentStep(model, None).eval()
    inputs, state = graph.example(), model.initial_state(1)
    frames = env.unwrapped.episodes[-1].frames  # type: ignore[attr-defined]
    for number, frame in enumerate(frames):
        taken = np.zeros(2, np.float32) if number == 0 else actions[number - 1]
        inputs["frames"] = torch.from_numpy(frame[None])
        inputs["is_first"] = torch.tensor([number == 0])
        inputs["action"] = torch.from_numpy(taken[None])
        with torch.no_grad():
            found = dict(zip(graph.outputs, graph(*inputs.values()), strict=True))
            place = torch.from_numpy(scaled(taken)[None])
            state = model.step(state, place, inputs["frames"], inputs["is_first"])
        inputs |= {name: found[name] for name in inputs if name in found}
        for latent in (*seen[number], found["latent"][0].numpy()):
            np.testing.assert_allclose(latent, state.features[0].numpy(), atol=1e-5)
    assert json.loads(describe(model.config)["action_low"]) == LOW.tolist()


def test_imagined_environments_of_a_data_set_take_its_actions(of_dataset: CoReWorldModel) -> None:
    model = of_dataset
    starts = model.initial_state(1)
    venv = ImaginedVecEnv(model, starts, horizon=3, num_envs=1)
    assert venv.action_space == spaces.Box(LOW, HIGH)
    action = np.float32([0.125, 1.5])
    venv.seed(0)
    venv.reset()
    _, rewards, _, _ = venv.step(action[None])
    generator = torch.Generator().manual_seed(0)
    torch.randint(1, (1,), generator=generator)
    noise = torch.randn((1, model.dynamics.stochastic_size), generator=generator)
    with torch.no_grad():
        state = model.dynamics.predict(starts, torch.from_numpy(scaled(action)[None]), noise)
        np.testing.assert_allclose(rewards, model.predict_reward(state).numpy(), atol=1e-6)


def test_an_agent_of_a_data_set_acts_in_its_units(config: CoReConfig) -> None:
    agent = CoReSAC("CoRePolicy", None, config, seed=0, device="cpu")
    latents = np.random.default_rng(0).normal(size=(20, agent.world_model.latent_size))
    acting = LatentAgent(agent, spaces.Box(-2, 3, (2,)), seed=0)
    actions, _ = acting.predict(latents.astype(np.float32))
    assert (actions >= LOW).all() and (actions <= HIGH).all() and np.ptp(actions) > 0
    agent.policy.adapt_to(agent.observation_space, spaces.Box(-2, 3, (2,)))
    frames = np.random.default_rng(0).integers(256, size=(20, 16, 16, 3), dtype=np.uint8)
    actions, state = agent.policy.predict(frames)
    assert (actions >= LOW).all() and (actions <= HIGH).all()
    np.testing.assert_allclose(scaled(actions), state.action.numpy(), atol=1e-6)


def test_a_difference_is_named_once_and_places_stay(
    model: CoReWorldModel, make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    def without_spec(high: float) -> gym.Env[Any, Any]:
        env = make_pixels().unwrapped
        env.spec, env.action_space = None, spaces.Box(-2, high, (2,), np.float32)
        return env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CoReWrapper(without_spec(3), model)
    ways: list[Callable[[], Any]] = [
        lambda: CoReWrapper(without_spec(6), model),
        lambda: CoReVectorWrapper(SyncVectorEnv([lambda: without_spec(6)] * 2), model),
        lambda: CoReVecEnvWrapper(DummyVecEnv([lambda: without_spec(6)] * 2), model),
    ]
    for wrap in ways:
        words = r"dimension 0 of its actions \(and 1 more\) is from -2 to 6, not from -2 to 3\. "
        with pytest.warns(UserWarning, match=words) as caught:
            env = wrap()
        assert len(caught) == 1
    with pytest.warns(UserWarning, match="dimension 0"):
        env = CoReWrapper(without_spec(6), model)
    env.reset(seed=0)
    env.step(np.float32([6, 2]))
    assert env.last_input[2].tolist() == [1, 0]


def test_what_of_the_bounds_is_a_difference(config: CoReConfig) -> None:
    recorded = config.environment
    assert recorded is not None
    trained = replace(recorded, id="trained-v0")
    same, narrow = spaces.Box(LOW, HIGH), spaces.Box(np.float32([-0.5, 0.25]), HIGH)
    wide = spaces.Box(LOW, np.float32([0.5, 2.5]), dtype=np.float32)
    assert different_bounds(same, trained) == different_bounds(same, recorded) == []
    assert different_bounds(narrow, trained) == [
        "dimension 0 of its actions is from -0.5 to 0.5, not from -1 to 0.5"
    ]
    assert different_bounds(narrow, recorded) == []
    (only,) = different_bounds(wide, recorded)
    assert only == (
        "dimension 1 of its actions is from 0.25 to 2.5, not from 0.25 to 2 as recorded, to which "
        "the model clips it"
    )
    shaped = spaces.Box(wide.low[:, None].astype(np.float64), wide.high[:, None], dtype=np.float64)
    assert len(different_bounds(shaped, trained)) == 1
