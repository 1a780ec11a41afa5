from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.agent import CoReSAC, algorithm_of, load_agent
from core_repr.agent.environment import observation_space
from core_repr.config import CoReConfig, SACConfig, make_variant
from core_repr.world_model import CoReWorldModel, SequenceBatch

CAMERA = spaces.Box(0, 255, (16, 16, 3), np.uint8)
ARM = spaces.Box(-np.pi, np.pi, (3,), np.float64)
GRIPPER = spaces.Box(0, 1, (1,), np.float32)


class Robot(gym.ObservationWrapper[Any, Any, Any]):
    """Frames, and joint angles that count the steps."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = spaces.Dict({"gripper": GRIPPER, "camera": CAMERA, "arm": ARM})
        self.steps = 0

    def reset(self, **kwargs: Any) -> Any:
        self.steps = 0
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        self.steps += 1
        return super().step(action)

    def observation(self, observation: Any) -> Any:
        arm = np.full(3, 0.1 * self.steps)
        gripper = np.array([observation.mean() / 255], np.float32)
        return {"gripper": gripper, "camera": observation, "arm": arm}


@pytest.fixture
def make_robot(
    make_pixels: Callable[..., gym.Env[Any, Any]], tiny_config: Callable[..., CoReConfig]
) -> Callable[..., CoReSAC]:
    config = tiny_config().replace(environment=None)
    return lambda envs=1: CoReSAC(
        "CoRePolicy",
        DummyVecEnv([lambda: Robot(make_pixels())] * envs),
        config,
        seed=0,
        device="cpu",
    )


@pytest.mark.parametrize("envs", [1, 2])
def test_a_robot_learns_from_frames_and_proprioception(
    make_robot: Callable[..., CoReSAC], envs: int
) -> None:
    agent = make_robot(envs)
    before = [p.clone() for p in agent.world_model.proprioception_encoder.parameters()]
    agent.learn(40)
    after = agent.world_model.proprioception_encoder.parameters()
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    # The replay kept, beside each frame, what came with it.
    batch = agent.replay_buffer.sample(4, 5)
    assert batch.proprioception.shape == (5, 4, 4)
    arm = batch.proprioception[..., 1]
    np.testing.assert_allclose(arm[1:] - arm[:-1], 0.1, atol=1e-6)
    assert evaluate_policy(agent, agent.env, 2)[0] < np.inf
    broken = {name: part.copy() for name, part in agent.env.reset().items()}
    broken["arm"][0, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        agent.predict(broken)


@pytest.mark.parametrize("variant", ["sac-rad", "curl", "qt-opt-rad", "rcurl", "recon"])
def test_other_systems_learn_from_proprioception_too(
    tiny_config: Callable[..., CoReConfig],
    make_pixels: Callable[..., gym.Env[Any, Any]],
    tmp_path: Path,
    variant: str,
) -> None:
    config = make_variant(tiny_config(), variant).replace(environment=None)
    if not isinstance(config.agent, SACConfig):
        small = replace(config.agent, critic_layers=(8,), batch_size=4, learning_starts=16)
        config = config.replace(agent=small)
    env = Robot(make_pixels(frame_size=config.world_model.frame_size))
    agent = algorithm_of(config)("CoRePolicy", env, config, seed=0, device="cpu")
    before = [p.clone() for p in agent.world_model.proprioception_encoder.parameters()]
    agent.learn(40)
    after = agent.world_model.proprioception_encoder.parameters()
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    agent.save(tmp_path / "agent")
    loaded = load_agent(tmp_path / "agent", device="cpu")
    assert loaded.config.latent_size == loaded.world_model.latent_size
    observation = agent.env.reset()
    expected, _ = agent.predict(observation, deterministic=True)
    np.testing.assert_allclose(loaded.predict(observation, deterministic=True)[0], expected)


def test_a_robot_is_saved_and_loaded_with_what_it_observes(
    make_robot: Callable[..., CoReSAC], tmp_path: Path
) -> None:
    agent = make_robot()
    environment = agent.config.environment
    assert environment is not None and environment.pixels_key == "camera"
    assert environment.proprioception == {"arm": 3, "gripper": 1}
    agent.save_pretrained(tmp_path)
    loaded = CoReSAC.from_pretrained(tmp_path, device="cpu")
    observation = agent.env.reset()
    expected, _ = agent.predict(observation, deterministic=True)
    np.testing.assert_allclose(loaded.predict(observation, deterministic=True)[0], expected)
    assert loaded.observation_space == observation_space(loaded.config)
    loaded.set_env(agent.env)
    loaded.learn(20)


class Turned(gym.ObservationWrapper[Any, Any, Any]):
    """The robot's observations in another order."""

    def __init__(self, env: gym.Env[Any, Any], *names: str) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = spaces.Dict(
            [(name, env.observation_space[name]) for name in names]
        )

    def observation(self, observation: Any) -> Any:
        return {name: observation[name] for name in self.observation_space}


def test_proprioception_keeps_the_order_that_the_model_has_learned(
    make_pixels: Callable[..., gym.Env[Any, Any]],
    tiny_config: Callable[..., CoReConfig],
    tmp_path: Path,
) -> None:
    robot, other = (
        DummyVecEnv([lambda names=names: Turned(Robot(make_pixels()), *names)])
        for names in (("gripper", "camera", "arm"), ("arm", "gripper", "camera"))
    )
    agent = CoReSAC("CoRePolicy", robot, tiny_config().replace(environment=None), device="cpu")
    agent.save(tmp_path / "agent")
    observation = robot.reset()
    expected = agent.policy.reader(observation).proprioception
    for env in (None, robot, other):
        loaded = CoReSAC.load(tmp_path / "agent", env, device="cpu")
        assert loaded.config.environment is not None
        assert list(loaded.config.environment.proprioception) == ["gripper", "arm"]
        loaded.set_env(other)
        assert list(loaded.config.environment.proprioception) == ["gripper", "arm"]
        read = loaded.policy.reader(observation).proprioception
        np.testing.assert_array_equal(read, expected)


def test_incomplete_observations_are_refused(make_robot: Callable[..., CoReSAC]) -> None:
    agent = make_robot()
    observation = {key: value[0] for key, value in agent.env.reset().items()}
    assert agent.predict(observation)[0].shape == (2,)
    with pytest.raises(ValueError, match="dictionary with"):
        agent.predict(observation["camera"])
    with pytest.raises(ValueError, match="'arm' of shape"):
        agent.predict({**observation, "arm": np.zeros(4)})
    with pytest.raises(ValueError, match="different sizes"):
        agent.predict({**observation, "arm": np.zeros((1, 3))})


def test_another_robot_is_refused(
    make_robot: Callable[..., CoReSAC], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    with pytest.raises(ValueError, match=r"pixels_key camera, but .* has None"):
        make_robot().set_env(make_pixels())


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    config = tiny_config()
    values = {**vars(config.environment), "pixels_key": "camera", "proprioception": {"arm": 3}}
    return CoReWorldModel(config.replace(environment=type(config.environment)(**values)))


def test_proprioception_moves_the_posterior_and_not_the_encodings(model: CoReWorldModel) -> None:
    frames = torch.randint(256, (4, 2, 12, 12, 3), dtype=torch.uint8)
    actions, is_first = torch.rand(4, 2, 2), torch.zeros(4, 2, dtype=torch.bool)
    proprioception = torch.randn(4, 2, 3)
    _, posterior = model.observe(frames, actions, is_first, None, proprioception)
    changed = proprioception.clone()
    changed[2, 0] += 1
    _, moved = model.observe(frames, actions, is_first, None, changed)
    differs = (posterior.mean != moved.mean).any(-1)
    assert not differs[:2].any() and not differs[:, 1].any() and differs[2:, 0].all()

    state, action = model.initial_state(2), torch.zeros(2, 2)
    for t in range(4):
        first = torch.full((2,), t == 0)
        state = model.step(state, action, frames[t], first, None, proprioception[t])
        action = actions[t]
    torch.testing.assert_close(state.mean, posterior.mean[-1], rtol=1e-4, atol=1e-5)


def test_a_model_with_proprioception_asks_for_it(
    model: CoReWorldModel, hand_made: Callable[..., SequenceBatch]
) -> None:
    batch = hand_made()
    with pytest.raises(ValueError, match="proprioception \\('arm'\\)"):
        model.observe(batch.frames, batch.actions, batch.is_first)
