"""Which environments CoReSAC learns in."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

from core_repr.adapters import FrameReader
from core_repr.agent import CoReSAC
from core_repr.agent.environment import describe_environment
from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReWrapper

MakeEnv = Callable[..., gym.Env[Any, Any]]
MakeAgent = Callable[..., CoReSAC]


class Changed(gym.Wrapper[Any, Any, Any, Any]):
    """The pixels with another space."""

    def __init__(self, env: gym.Env[Any, Any], **spaces: gym.Space[Any]) -> None:
        super().__init__(env)
        for name, space in spaces.items():
            setattr(self, name, space)


BOX = gym.spaces.Box
BAD_SPACES = {
    "discrete actions": ({"action_space": gym.spaces.Discrete(3)}, TypeError, "Box of continuous"),
    "unbounded actions": ({"action_space": BOX(-np.inf, np.inf, (2,))}, ValueError, "bounded"),
    "half-bounded actions": ({"action_space": BOX(-1, np.inf, (2,))}, ValueError, "bounded"),
    "a single action": ({"action_space": BOX(1, 1, (2,))}, ValueError, "can vary"),
    "vectors": ({"observation_space": BOX(-1, 1, (5,))}, TypeError, "AddRenderObservation"),
    "other floats": ({"observation_space": BOX(-1, 1, (16, 16, 3))}, ValueError, "from 0 to 1"),
    "grey frames": ({"observation_space": BOX(0, 255, (16, 16, 1), np.uint8)}, TypeError, "grey"),
    "RGBA": ({"observation_space": BOX(0, 255, (16, 16, 4), np.uint8)}, TypeError, "RGBA"),
    "not square": ({"observation_space": BOX(0, 255, (16, 20, 3), np.uint8)}, ValueError, "square"),
    "too small": ({"observation_space": BOX(0, 255, (8, 8, 3), np.uint8)}, ValueError, "8 × 8"),
    "dictionaries": (
        {"observation_space": gym.spaces.Dict(x=BOX(-1, 1, (5,)))},
        TypeError,
        "one entry of RGB frames",
    ),
}


@pytest.mark.parametrize("name", BAD_SPACES)
def test_spaces_that_do_not_fit_are_refused(
    make_pixels: MakeEnv, tiny_config: Callable[..., CoReConfig], name: str
) -> None:
    spaces, error, words = BAD_SPACES[name]
    env = Changed(make_pixels(), **spaces)
    config = tiny_config().replace(environment=None)
    with pytest.raises(error, match=words) as refusal:
        CoReSAC("CoRePolicy", env, config, device="cpu")
    assert "\n" not in str(refusal.value)
    # The wrapper says the same.
    if name != "dictionaries":
        with pytest.raises(error) as other:
            CoReWrapper(env, CoReWorldModel(tiny_config()))
        assert str(other.value) == str(refusal.value)


def test_frames_that_were_made_grey_are_refused(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    grey = gym.wrappers.GrayscaleObservation(make_pixels(), keep_dim=True)
    with pytest.raises(TypeError, match="grey on the way"):
        make_agent(VecFrameStack(DummyVecEnv([lambda: grey]), 3))


class InOtherForm(gym.ObservationWrapper[Any, Any, Any]):
    """The frames of :class:`Pixels` as another environment might give them."""

    def __init__(self, env: gym.Env[Any, Any], form: Any, high: float, dtype: Any) -> None:
        super().__init__(env)
        self.form = form
        shape = form(np.zeros((16, 16, 3), np.uint8)).shape
        self.observation_space = gym.spaces.Box(0, high, shape, dtype)

    def observation(self, observation: Any) -> Any:
        return self.form(observation)


FORMS = {
    "upside down in memory": (lambda f: f[::-1].copy()[::-1], 255, np.uint8),
    "read-only": (lambda f: np.frombuffer(f.tobytes(), np.uint8).reshape(f.shape), 255, np.uint8),
    "channels first": (lambda f: f.transpose(2, 0, 1), 255, np.uint8),
    "floats": (lambda f: f / np.float32(255), 1, np.float32),
    "stacked": (lambda f: np.stack([255 - f, f]), 255, np.uint8),
    "stacked channels": (lambda f: np.concatenate([255 - f, f], -1), 255, np.uint8),
    "larger": (lambda f: f.repeat(2, 0).repeat(2, 1), 255, np.uint8),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("envs", [0, 2])
def test_frames_of_other_forms_are_learned_from_as_the_wrapper_shows_them(
    make_pixels: MakeEnv, make_agent: MakeAgent, tmp_path: Path, name: str, envs: int
) -> None:
    def make() -> gym.Env[Any, Any]:
        return InOtherForm(make_pixels(), *FORMS[name])

    agent = make_agent(DummyVecEnv([make] * envs) if envs else make()).learn(40)
    assert agent.updates > 0
    read = FrameReader(make().observation_space, 16)
    recorded = [
        read(np.stack([FORMS[name][0](frame) for frame in episode.frames]))
        if name == "larger"
        else np.stack(episode.frames)
        for single in agent.env.envs
        for episode in single.unwrapped.episodes
        if len(episode.actions) == 8
    ]
    stored = [episode.records["frame"] for episode in agent.replay_buffer.episodes]
    assert len(stored) == len(recorded) > 0
    for frames in stored:
        assert any(np.array_equal(frames, other) for other in recorded)

    # Saved and loaded, with the environment's form or without it.
    agent.save(tmp_path / "agent")
    env = make()
    seen, _ = env.reset(seed=0)
    expected, _ = agent.predict(seen, deterministic=True)
    loaded = CoReSAC.load(tmp_path / "agent", env, device="cpu")
    assert np.array_equal(loaded.predict(seen, deterministic=True)[0], expected)
    without = CoReSAC.load(tmp_path / "agent", device="cpu")
    if envs == 0:
        without.set_env(env)
        assert np.array_equal(without.predict(seen, deterministic=True)[0], expected)
        assert math.isfinite(evaluate_policy(without, env, 1)[0])

    # The wrapper's latents are those that the agent acts on.
    wrapped = CoReWrapper(make(), agent.world_model)
    _, state = agent.predict(seen, deterministic=True)
    np.testing.assert_allclose(wrapped.reset(seed=0)[0], state.latent.features[0], atol=1e-5)


def test_a_transposed_vector_is_taken(make_pixels: MakeEnv, make_agent: MakeAgent) -> None:
    agent = make_agent(VecTransposeImage(DummyVecEnv([make_pixels]))).learn(24)
    assert agent.observation_space.shape == (3, 16, 16)
    assert len(agent.replay_buffer) == 24


@pytest.mark.parametrize(
    ("frame", "crop", "words"),
    [
        (24, 18, r"central 56 % of a frame: 3 pixels \(12 %\) beyond each border"),
        (25, 20, None),  # A tenth beyond each border.
        (16, 16, None),
    ],
)
def test_a_crop_that_hides_much_is_told_in_numbers_when_a_training_starts(
    make_agent: Callable[..., CoReSAC],
    make_pixels: Callable[..., gym.Env[Any, Any]],
    caplog: pytest.LogCaptureFixture,
    frame: int,
    crop: int,
    words: str | None,
) -> None:
    agent = make_agent(
        make_pixels(frame_size=frame), world_model={"frame_size": frame, "crop_size": crop}
    )
    assert not caplog.records  # The config names its environment: the training continues.
    CoReSAC("CoRePolicy", agent.env, agent.config.replace(environment=None), device="cpu")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (words is not None)
    if words is not None:
        assert re.search(words, caplog.text)


# Steps


class Robot(gym.Env[Any, Any]):
    """Frames and joint angles, with everything that goes wrong among environments.

    Args:
        length: Steps of an episode.
        actions: Its action space.
        broken_at: Step of each episode at which an angle is not a number.
        scales: Whether it writes to the action that it was given.
    """

    def __init__(
        self,
        length: int = 8,
        actions: gym.spaces.Box = BOX(-2, 3, (2,)),  # noqa: B008
        broken_at: int | None = None,
        scales: bool = False,
    ) -> None:
        frames = BOX(0, 255, (16, 16, 3), np.uint8)
        self.observation_space = gym.spaces.Dict(angles=BOX(-9, 9, (2,)), camera=frames)
        self.action_space = actions
        self.length, self.broken_at, self.scales = length, broken_at, scales
        self.sent: list[np.ndarray] = []
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.sent.append(action.copy())
        if self.scales:
            action[:] = 0
        return self._observe(), 1.0, self.steps == self.length, False, {}

    def _observe(self) -> Any:
        angles = self.np_random.normal(size=2).astype(np.float32)
        if self.steps == self.broken_at:
            angles[1] = np.nan
        return {
            "angles": angles,
            "camera": self.np_random.integers(256, size=(16, 16, 3), dtype=np.uint8),
        }


@pytest.fixture
def make_robot_agent(tiny_config: Callable[..., CoReConfig]) -> MakeAgent:
    def make(env: Any, **agent: Any) -> CoReSAC:
        config = tiny_config(agent=agent).replace(environment=None)
        return CoReSAC("CoRePolicy", env, config, seed=0, device="cpu")

    return make


@pytest.mark.parametrize("at_end", [False, True])
def test_what_is_not_finite_is_refused_before_anything_acts_on_it(
    make_robot_agent: MakeAgent, at_end: bool
) -> None:
    step = 8 if at_end else 3
    robots = [Robot(), Robot(broken_at=step)]
    agent = make_robot_agent(DummyVecEnv([lambda r=r: r for r in robots]), learning_starts=0)
    words = rf"At agent step {2 * step}: Environment 1: .*not finite, \[.*nan\], in 'angles'"
    with pytest.raises(ValueError, match=words):
        agent.learn(100)
    for robot in robots:
        assert len(robot.sent) == step and np.isfinite(robot.sent).all()
    with pytest.raises(ValueError, match=r"At agent step 0: Environment 0: .*in 'angles'"):
        make_robot_agent(DummyVecEnv([lambda: Robot(broken_at=0)])).learn(9)


class OneBuffer(DummyVecEnv):
    """Gives the same arrays at each step, as simulators on a GPU do, and writes to them."""

    def _obs_from_buf(self) -> Any:
        return self.buf_obs


def test_what_is_stored_is_what_was_seen_and_sent(make_robot_agent: MakeAgent) -> None:
    def learned(vector: type[DummyVecEnv], scales: bool) -> list[np.ndarray]:
        agent = make_robot_agent(vector([lambda: Robot(scales=scales)] * 2), learning_starts=20)
        agent.learn(60)
        return [episode.records.copy() for episode in agent.replay_buffer.episodes]

    plain = learned(DummyVecEnv, False)
    assert len(plain) > 4
    for other in (learned(OneBuffer, False), learned(DummyVecEnv, True)):
        assert all(np.array_equal(one, two) for one, two in zip(plain, other, strict=True))


class OneFrame(gym.ObservationWrapper[Any, Any, Any]):
    """Writes every frame of an environment into the same array."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.frame = np.zeros(env.observation_space.shape, np.uint8)

    def observation(self, observation: Any) -> Any:
        self.frame[:] = observation
        return self.frame


@pytest.mark.parametrize("envs", [None, 2])
def test_what_an_episode_ended_in_is_not_what_the_next_one_starts_with(
    make_pixels: MakeEnv, make_agent: MakeAgent, envs: int | None
) -> None:
    def make() -> Any:
        return OneFrame(make_pixels(length=6, terminates=True))

    env = make() if envs is None else DummyVecEnv([make] * envs)
    agent = make_agent(env).learn(60)
    played = env if envs is None else env.envs[0]
    whole = [frames for frames, actions, _ in played.unwrapped.episodes if len(actions) == 6]
    stored = [episode.records["frame"] for episode in agent.replay_buffer.episodes]
    assert len(stored) >= len(whole) > 3
    for frames in whole:
        assert any(np.array_equal(np.stack(frames), other) for other in stored)


def test_steps_of_all_who_hold_an_action_are_counted(make_pixels: MakeEnv) -> None:
    class Held(gym.Wrapper[Any, Any, Any, Any]):
        action_repeat = 3

    for make in (lambda: Held(make_pixels()), lambda: Monitor(Held(make_pixels()))):
        assert describe_environment(DummyVecEnv([make])).action_repeat == 12


def test_a_time_limit_around_a_held_action_is_recorded_in_the_steps_of_the_environment(
    make_pixels: MakeEnv,
) -> None:
    class Held(gym.Wrapper[Any, Any, Any, Any]):
        action_repeat = 3

    def limit(env: Any) -> Any:
        return describe_environment(DummyVecEnv([lambda: env])).arguments["max_episode_steps"]

    assert limit(gym.wrappers.TimeLimit(Held(make_pixels()), 5)) == 15
    assert limit(Held(make_pixels(max_episode_steps=6))) == 6
    assert limit(gym.wrappers.TimeLimit(Held(make_pixels(max_episode_steps=60)), 5)) == 15


def test_that_an_environment_renders_its_own_frames_is_recorded(
    make_pixels: MakeEnv, make_agent: MakeAgent
) -> None:
    for mode, expected in (("rgb_array", {"render_mode": "rgb_array"}), ("human", {})):
        env = make_pixels()
        env.unwrapped.spec.kwargs["render_mode"] = mode
        assert make_agent(env).environment_config.arguments == expected


def test_a_dict_within_a_dict_is_refused_in_a_sentence(make_agent: MakeAgent) -> None:
    class Nested(gym.Env[Any, Any]):
        observation_space = spaces.Dict(
            {
                "pixels": spaces.Box(0, 255, (16, 16, 3), np.uint8),
                "more": spaces.Dict({"x": spaces.Box(-1, 1, (2,), np.float32)}),
            }
        )
        action_space = spaces.Box(-1, 1, (2,), np.float32)

    with pytest.raises((TypeError, ValueError), match="'more'"):
        make_agent(Nested())


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("envs", [1, 3])
def test_episodes_of_a_single_step_are_learned_from(
    make_pixels: MakeEnv, make_agent: MakeAgent, terminated: bool, envs: int
) -> None:
    def make() -> gym.Env[Any, Any]:
        return make_pixels(length=1, terminates=terminated)

    agent = make_agent(DummyVecEnv([make] * envs), agent={"initial_updates": 3}).learn(60)
    assert agent.updates > 3 and len(agent.replay_buffer) >= 60
    assert all(torch.isfinite(p).all() for p in agent.policy.parameters())
    wrapped = CoReWrapper(make(), agent.world_model)
    for _ in range(3):
        assert np.isfinite(wrapped.reset()[0]).all()
        assert np.isfinite(wrapped.step(wrapped.action_space.sample())[0]).all()


def test_an_environment_that_takes_whole_numbers_gets_them(make_robot_agent: MakeAgent) -> None:
    robot = Robot(actions=BOX(-1, 3, (2,), np.int64))
    agent = make_robot_agent(robot)
    agent.learn(60)
    sent = np.stack(robot.sent)
    assert sent.dtype == np.int64 and set(sent.flat) == {-1, 0, 1, 2, 3}
    # What is learned from, and what the next latent state sees, is what was sent.
    stored = np.concatenate(
        [episode.records["action"][:-1] for episode in agent.replay_buffer.episodes]
    )
    np.testing.assert_allclose(stored, (sent - 1) / 2)
    action, state = agent.predict(robot._observe(), deterministic=True)
    assert action.dtype == np.int64 and np.allclose(state.action[0], (action - 1) / 2)


def test_a_dimension_that_cannot_vary_is_none_of_the_model_s(
    make_robot_agent: MakeAgent, tmp_path: Path
) -> None:
    actions = BOX(np.float32([-2, 7, 0]), np.float32([3, 7, 1]))
    robot = Robot(actions=actions)
    agent = make_robot_agent(robot, mean_recurrence=True)
    agent.learn(60)
    assert agent.environment_config.action_size == 2 and agent.target_entropy == -2
    assert all(torch.isfinite(p).all() for p in agent.policy.parameters())
    sent = np.stack(robot.sent)
    assert (sent[:, 1] == 7).all() and all(actions.contains(action) for action in sent)
    assert agent.replay_buffer.sample(2, 3).actions.shape == (3, 2, 2)
    agent.save(tmp_path / "agent")
    for env in (None, robot):
        loaded = CoReSAC.load(tmp_path / "agent", env, device="cpu")
        action, state = loaded.predict(robot.reset(seed=1)[0], deterministic=True)
        assert actions.contains(action)
    # Wrapped, its latents are those of the agent.
    wrapped = CoReWrapper(robot, agent.world_model)
    wrapped.reset(seed=1)
    seen = wrapped.step(action)[0]
    robot.reset(seed=1)
    _, state = agent.predict(robot.step(action)[0], state, deterministic=True)
    np.testing.assert_allclose(seen, state.latent.features[0], atol=1e-5)


@pytest.mark.parametrize(
    ("reward", "words"),
    [(None, "reward None"), (np.ones(2), "reward"), (np.nan, "reward nan")],
)
def test_rewards_that_are_not_one_number_are_refused(
    make_agent: MakeAgent, make_pixels: MakeEnv, reward: Any, words: str
) -> None:
    env = gym.wrappers.TransformReward(make_pixels(), lambda _: reward)
    with pytest.raises(ValueError, match=rf"Step 1 of episode 1 .* {words}.*not one finite number"):
        make_agent(env).learn(9)


@pytest.mark.parametrize("reward", [np.ones(()), np.ones(1), np.float64(1), 1, True])
def test_rewards_of_any_form_are_numbers(
    make_agent: MakeAgent, make_pixels: MakeEnv, reward: Any
) -> None:
    agent = make_agent(gym.wrappers.TransformReward(make_pixels(), lambda _: reward)).learn(9)
    assert (agent.replay_buffer.episodes[0].records["reward"][:-1] == 1).all()
