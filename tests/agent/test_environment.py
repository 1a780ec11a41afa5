"""Which environments CoReSAC learns in."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

from core_repr.adapters import FrameReader
from core_repr.agent import CoReSAC
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
    assert agent._n_updates > 0
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
    assert not caplog.records  # The config names its environment: the training goes on.
    CoReSAC("CoRePolicy", agent.env, agent.config.replace(environment=None), device="cpu")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (words is not None)
    if words is not None:
        assert re.search(words, caplog.text)
