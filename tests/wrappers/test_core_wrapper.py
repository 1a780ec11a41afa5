import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.config import CoReConfig, EnvironmentConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReWrapper

MakeEnv = Callable[..., gym.Env[Any, Any]]


class Record(gym.Wrapper[Any, Any, Any, Any]):
    """Notes frames and actions of the current episode."""

    def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
        frame, info = self.env.reset(**arguments)
        self.frames, self.actions = [frame], []
        return frame, info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        frame, *rest = self.env.step(action)
        self.frames.append(frame)
        self.actions.append(np.array(action))
        return frame, *rest


@pytest.fixture
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    return CoReWorldModel(tiny_config())


def play(env: gym.Env[Any, Any], seed: int | None, steps: int | None = None) -> np.ndarray:
    """Resets, acts at random to the end or for some steps; returns the observations."""
    observations = [env.reset(seed=seed)[0]]
    if seed is not None:
        env.action_space.seed(seed)
    over = False
    while not over and (steps is None or len(observations) <= steps):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        observations.append(observation)
        over = terminated or truncated
    return np.stack(observations)


def learners_latents(model: CoReWorldModel, record: Record) -> np.ndarray:
    """The features that ``observe`` computes for a recorded episode."""
    low, high = record.action_space.low, record.action_space.high
    scaled = [2 * (action - low) / (high - low) - 1 for action in record.actions]
    actions = np.stack([*scaled, np.zeros_like(low)]).astype(np.float32)
    frames = torch.from_numpy(np.stack(record.frames))[:, None]
    with torch.no_grad():
        _, posterior = model.observe(
            frames,
            torch.from_numpy(actions)[:, None],
            torch.zeros(len(frames), 1, dtype=torch.bool),
        )
    return posterior.features[:, 0].numpy()


def test_latents_are_those_that_the_learner_sees(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    record = Record(make_pixels())
    env = CoReWrapper(record, model)
    for seed in (3, None):
        observations = play(env, seed)
        assert observations.shape == (9, 14) and observations.dtype == np.float32
        # float32; single steps and whole sequences order their sums differently
        np.testing.assert_allclose(observations, learners_latents(model, record), atol=1e-4)
    assert np.abs(np.diff(observations, axis=0)).max() > 0.01


def test_a_reset_in_mid_episode_starts_afresh(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    record = Record(make_pixels())
    env = CoReWrapper(record, model)
    fresh = play(env, 3, steps=4)
    play(env, 5, steps=2)
    again = play(env, 3, steps=4)
    assert np.array_equal(fresh, again)


def test_two_environments_share_a_model_but_not_a_state(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    alone = play(CoReWrapper(make_pixels(), model), 1)
    one, two = CoReWrapper(make_pixels(), model), CoReWrapper(make_pixels(), model)
    observations = [one.reset(seed=1)[0]]
    two.reset(seed=2)
    one.action_space.seed(1)
    for _ in range(8):
        observations.append(one.step(one.action_space.sample())[0])
        two.step(two.action_space.sample())
    assert np.array_equal(np.stack(observations), alone)


def test_seeds_reproduce(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    first, same, other = (play(CoReWrapper(make_pixels(), model), seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_rewards_ends_and_actions_pass_unchanged(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    for terminates in (False, True):
        record = Record(make_pixels(length=2, terminates=terminates))
        env = CoReWrapper(record, model)
        assert env.action_space == record.action_space
        env.reset(seed=0)
        action = np.array([-2.0, 2.5], np.float32)
        _, reward, terminated, truncated, _ = env.step(action)
        assert (reward, terminated, truncated) == (0.5, False, False)
        assert np.array_equal(record.actions[0], action)
        _, _, terminated, truncated, _ = env.step(action)
        assert (terminated, truncated) == (terminates, not terminates)


def test_the_checker_of_gymnasium_passes(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    env = CoReWrapper(make_pixels(), model)
    assert env.observation_space == gym.spaces.Box(-np.inf, np.inf, (14,), np.float32)
    with warnings.catch_warnings():
        # It is wrapped, its observations are unbounded and its actions not in [−1, 1].
        warnings.simplefilter("ignore", UserWarning)
        check_env(env, skip_render_check=True)


def test_the_environment_can_be_made_again_from_its_spec(
    make_pixels: MakeEnv, model: CoReWorldModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "model")
    env = CoReWrapper(make_pixels(length=4), str(tmp_path / "model"))
    assert env.spec is not None
    again = gym.make(env.spec)
    assert isinstance(again, CoReWrapper)
    assert np.array_equal(play(env, 1), play(again, 1))


def test_an_agent_of_sb3_learns_on_the_latents(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    env = DummyVecEnv([lambda: CoReWrapper(make_pixels(), model)] * 2)
    agent = SAC("MlpPolicy", env, policy_kwargs={"net_arch": [16]}, learning_starts=100)
    agent.learn(200)
    assert agent.num_timesteps == 200 and agent.replay_buffer.size() == 100
    assert np.isfinite(agent.replay_buffer.observations[:100]).all()


def test_the_model_stays_as_it_is(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    play(CoReWrapper(make_pixels(), model), 0)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_is_taken_from_a_folder(
    make_pixels: MakeEnv, model: CoReWorldModel, tmp_path: Path, kind: type
) -> None:
    model.save_pretrained(tmp_path / "model")
    env = CoReWrapper(make_pixels(), kind(tmp_path / "model"))
    assert np.array_equal(play(env, 0), play(CoReWrapper(make_pixels(), model), 0))


def test_a_missing_model_is_refused(make_pixels: MakeEnv) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-model-v0"):
        CoReWrapper(make_pixels(), "no-such-model-v0")


# What does not fit


class Changed(gym.Wrapper[Any, Any, Any, Any]):
    """The pixels with another space."""

    def __init__(self, env: gym.Env[Any, Any], **spaces: gym.Space[Any]) -> None:
        super().__init__(env)
        for name, space in spaces.items():
            setattr(self, name, space)


BAD_SPACES = [
    ({"observation_space": gym.spaces.Box(-1, 1, (5,))}, TypeError, r"Box\(-1.0, 1.0, \(5,\)"),
    ({"observation_space": gym.spaces.Box(0, 1, (16, 16, 3))}, TypeError, "float32"),
    ({"observation_space": gym.spaces.Box(0, 255, (16, 16, 1), np.uint8)}, TypeError, "16, 16, 1"),
    ({"observation_space": gym.spaces.Box(0, 255, (3, 16, 16), np.uint8)}, TypeError, "3, 16, 16"),
    (
        {
            "observation_space": gym.spaces.Dict(
                pixels=gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)
            )
        },
        TypeError,
        "Dict",
    ),
    (
        {"observation_space": gym.spaces.Box(0, 255, (84, 96, 3), np.uint8)},
        ValueError,
        r"16 × 16.*84 × 96.*frame_size=16",
    ),
    ({"action_space": gym.spaces.Discrete(7)}, TypeError, r"Discrete\(7\)"),
    ({"action_space": gym.spaces.Box(-np.inf, np.inf, (2,))}, ValueError, "bounded"),
    ({"action_space": gym.spaces.Box(-1, 1, (6,))}, ValueError, r"2 action dim.*Pixels-v0.*has 6"),
]


@pytest.mark.parametrize(("spaces", "error", "words"), BAD_SPACES)
def test_environments_that_cannot_work_are_refused(
    make_pixels: MakeEnv,
    model: CoReWorldModel,
    spaces: dict[str, gym.Space[Any]],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        CoReWrapper(Changed(make_pixels(), **spaces), model)


def test_frames_of_another_size_are_refused(make_pixels: MakeEnv, model: CoReWorldModel) -> None:
    with pytest.raises(ValueError, match=r"16 × 16 pixels.*20 × 20.*frame_size=16"):
        CoReWrapper(make_pixels(frame_size=20), model)


def trained_elsewhere(model: CoReWorldModel, **changes: Any) -> CoReWorldModel:
    fields = {"id": "core-repr-tests/Pixels-v0", "action_repeat": 4, **changes}
    environment = EnvironmentConfig(
        arguments={}, action_low=(-2.0, -2.0), action_high=(3.0, 3.0), **fields
    )
    return CoReWorldModel(model.config.replace(environment=environment))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "distracting_control/reacher-easy-v0"}, r"reacher-easy-v0.*Pixels-v0"),
        ({"action_repeat": 8}, r"action repeat 8.*action repeat 4"),
    ],
)
def test_another_environment_than_the_models_sets_off_a_warning(
    make_pixels: MakeEnv, model: CoReWorldModel, changes: dict[str, Any], words: str
) -> None:
    with pytest.warns(UserWarning, match=words) as caught:
        CoReWrapper(make_pixels(), trained_elsewhere(model, **changes))
    # The warning points at the line that wrapped the environment.
    assert caught[0].filename == __file__


def test_the_models_own_environment_sets_off_no_warning(
    make_pixels: MakeEnv, model: CoReWorldModel
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CoReWrapper(make_pixels(), model)
        CoReWrapper(gym.wrappers.TimeLimit(make_pixels(), 5), model)


def test_on_the_distracting_control_suite(tiny_config: Callable[..., CoReConfig]) -> None:
    env = gym.make(
        "distracting_control/cartpole-swingup-v0", difficulty="easy", dynamic=True, frame_size=16
    )
    environment = EnvironmentConfig(
        "distracting_control/cartpole-swingup-v0", {"frame_size": 16}, (-1.0,), (1.0,), 8
    )
    model = CoReWorldModel(tiny_config().replace(environment=environment))
    record = Record(env)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrapped = CoReWrapper(record, model)
    observations = play(wrapped, 3, steps=20)
    np.testing.assert_allclose(observations, learners_latents(model, record), atol=1e-4)
    wrapped.close()
