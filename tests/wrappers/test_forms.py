"""What environments do to their arrays, and what they forget, behind each of the wrappers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVecEnvWrapper, CoReVectorWrapper, CoReWrapper

STEPS = 12
VIEWS = ["single", "vector", "SB3"]


class Robot(gym.Env[Any, Any]):
    """Frames and joint angles.

    Args:
        lay_out: Changes how a frame lies in memory.
        one_array: Whether frames and angles are written to the same arrays at each step.
        scales: Whether it writes to the action that it was given.
        broken_at: Step at which an angle is not a number.
    """

    action_space = spaces.Box(-2, 3, (2,), np.float32)

    def __init__(
        self,
        lay_out: Callable[[Any], Any] = lambda frame: frame,
        one_array: bool = False,
        scales: bool = False,
        broken_at: int | None = None,
    ) -> None:
        self.observation_space = spaces.Dict(
            angles=spaces.Box(-9, 9, (2,), np.float32),
            camera=spaces.Box(0, 255, (16, 16, 3), np.uint8),
        )
        self.lay_out, self.one_array, self.scales = lay_out, one_array, scales
        self.broken_at = broken_at
        self.frame, self.angles = np.zeros((16, 16, 3), np.uint8), np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.scales:
            action *= 0
        return self._observe(), 1.0, self.steps == 5, False, {}

    def _observe(self) -> Any:
        frame = self.np_random.integers(256, size=(16, 16, 3), dtype=np.uint8)
        angles = self.np_random.normal(size=2).astype(np.float32)
        if self.steps == self.broken_at:
            angles[1] = np.nan
        if self.one_array:
            self.frame[:], self.angles[:] = frame, angles
            frame, angles = self.frame, self.angles
        return {"camera": self.lay_out(frame), "angles": angles}


@pytest.fixture(scope="module")
def robot_model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    config = tiny_config()
    assert config.environment is not None
    environment = replace(
        config.environment, pixels_key="camera", proprioception={"angles": 2}, action_repeat=1
    )
    torch.manual_seed(0)
    return CoReWorldModel(config.replace(environment=environment))


class OneBuffer(DummyVecEnv):
    """Gives the same arrays at each step."""

    def _obs_from_buf(self) -> Any:
        return self.buf_obs


def play(
    view: str, model: CoReWorldModel, reused_actions: bool = False, **robot: Any
) -> list[dict[str, np.ndarray]]:
    """Returns the observations of some steps, in the form of a batch."""

    def make() -> Robot:
        return Robot(**robot)

    env: Any
    if view == "single":
        env = CoReWrapper(make(), model, keep=["camera", "angles"])
        seen, over, rng = [env.reset(seed=0)[0]], False, np.random.default_rng(0)
        for _ in range(STEPS):
            if over:
                env.reset()
            observation, _, over, _, _ = env.step(rng.uniform(-2, 3, 2).astype(np.float32))
            seen.append(observation)
        return seen
    rng = np.random.default_rng(0)
    if view == "vector":
        copies = not robot.get("one_array")
        env = CoReVectorWrapper(
            SyncVectorEnv([make] * 2, copy=copies), model, keep=["camera", "angles"]
        )
        seen = [env.reset(seed=0)[0]]
    else:
        vector = OneBuffer if robot.get("one_array") else DummyVecEnv
        env = CoReVecEnvWrapper(vector([make] * 2), model, keep=["camera", "angles"])
        env.seed(0)
        seen = [env.reset()]
    buffer = np.zeros((2, 2), np.float32)
    for _ in range(STEPS):
        buffer[:] = rng.uniform(-2, 3, (2, 2))
        if view == "vector":
            seen.append(env.step(buffer)[0])
            continue
        env.step_async(buffer)
        if reused_actions:
            buffer[:] = -2
        seen.append(env.step_wait()[0])
    return seen


def assert_same(one: list[dict[str, np.ndarray]], other: list[dict[str, np.ndarray]]) -> None:
    for a, b in zip(one, other, strict=True):
        for name in ("latent", "camera", "angles"):
            assert np.array_equal(a[name], b[name]), name


LAYOUTS = {
    "upside down": lambda frame: frame[::-1].copy()[::-1],
    "BGR": lambda frame: frame[..., ::-1].copy()[..., ::-1],
    "Fortran order": np.asfortranarray,
    "read-only": lambda frame: np.frombuffer(frame.tobytes(), np.uint8).reshape(frame.shape),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_of_any_layout_in_memory_do(
    robot_model: CoReWorldModel, view: str, layout: str
) -> None:
    seen = play(view, robot_model, lay_out=LAYOUTS[layout])
    assert_same(seen, play(view, robot_model))
    # A policy makes tensors of what was kept.
    for observation in seen:
        assert all(torch.as_tensor(kept).shape for kept in observation.values())


@pytest.mark.parametrize("view", VIEWS)
def test_actions_are_read_before_anybody_writes_to_them(
    robot_model: CoReWorldModel, view: str
) -> None:
    # A vector's environments may get views of the caller's array.
    assert_same(play(view, robot_model, scales=True), play(view, robot_model))
    assert_same(play(view, robot_model, reused_actions=True), play(view, robot_model))


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_kept_does_not_change_at_the_next_step(
    robot_model: CoReWorldModel, view: str
) -> None:
    assert_same(play(view, robot_model, one_array=True), play(view, robot_model))


@pytest.mark.parametrize("view", ["vector", "SB3"])
def test_the_last_latents_are_of_what_an_episode_ended_in(
    robot_model: CoReWorldModel, view: str
) -> None:
    """Whether or not the next episode's first observation is written over it."""
    last = []
    for one_array in (False, True):

        def make(one_array: bool = one_array) -> Robot:
            return Robot(one_array=one_array)

        env: Any
        if view == "vector":
            vector = SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
            env = CoReVectorWrapper(vector, robot_model, keep=["camera"])
            env.reset(seed=0)
            *_, info = [env.step(np.ones((2, 2), np.float32)) for _ in range(5)][-1]
            last.append(info["final_obs"][1])
        else:
            env = CoReVecEnvWrapper(DummyVecEnv([make] * 2), robot_model, keep=["camera"])
            env.seed(0)
            env.reset()
            *_, infos = [env.step(np.ones((2, 2), np.float32)) for _ in range(5)][-1]
            last.append(infos[1]["terminal_observation"])
    for name in ("latent", "camera"):
        assert np.array_equal(last[0][name], last[1][name]), name


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("broken_at", [0, 3, 5])
def test_proprioception_that_is_not_finite_is_refused(
    robot_model: CoReWorldModel, view: str, broken_at: int
) -> None:
    with pytest.raises(ValueError, match=r"not finite, \[.*nan\], in 'angles'\.") as refusal:
        play(view, robot_model, broken_at=broken_at)
    assert str(refusal.value).startswith("Environment 0:") == (view != "single")


def test_a_vector_that_gives_no_last_observation_is_refused(robot_model: CoReWorldModel) -> None:
    class Lean(VectorWrapper):
        def step(self, actions: Any) -> Any:
            *seen, infos = self.env.step(actions)
            infos.pop("final_obs", None)
            return *seen, infos

    vector = SyncVectorEnv([Robot] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = CoReVectorWrapper(Lean(vector), robot_model)
    envs.reset()
    for _ in range(4):
        envs.step(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"Environment 0 ended .*infos\['final_obs'\]"):
        envs.step(np.zeros((2, 2), np.float32))


def test_an_sb3_vector_that_gives_no_last_observation_is_refused(
    robot_model: CoReWorldModel,
) -> None:
    class Lean(VecEnvWrapper):
        def reset(self) -> Any:
            return self.venv.reset()

        def step_wait(self) -> Any:
            *seen, infos = self.venv.step_wait()
            return *seen, [
                {name: info[name] for name in info if name != "terminal_observation"}
                for info in infos
            ]

    venv = CoReVecEnvWrapper(Lean(DummyVecEnv([Robot] * 2)), robot_model)
    venv.reset()
    for _ in range(4):
        venv.step(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"Environment 0 ended .*\['terminal_observation'\]"):
        venv.step(np.zeros((2, 2), np.float32))
