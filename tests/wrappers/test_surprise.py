"""Surprise: usual steps, a camera that fails, and what is no calibration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr import CoReVecEnvWrapper, CoReVectorWrapper, CoReWorldModel, CoReWrapper
from core_repr.agent import LatentAgent
from core_repr.config import CoReConfig, make_variant
from core_repr.wrappers import Surprise, calibrate_surprise
from core_repr.wrappers.surprise import readings

SUITE = "distracting_control/cartpole-swingup-v0"


def test_readings_are_those_of_posterior_and_prior(tiny_config: Callable[..., CoReConfig]) -> None:
    model = CoReWorldModel(tiny_config()).eval()
    state = model.initial_state(3).map(torch.randn_like)
    x, before = torch.randn(3, 7), torch.randn(3, 7)
    with torch.no_grad():
        found = readings(model, state, x, before)
        prior = model.prior_of(state)
        y = model.decode(prior)
    one, other = (
        torch.distributions.Normal(each.mean, each.log_std.exp()) for each in (state, prior)
    )
    kl = torch.distributions.kl_divergence(one, other).sum(-1)
    away = ((state.mean - prior.mean) / prior.log_std.exp()).square().sum(-1)
    torch.testing.assert_close(found[:, 0], kl.log())
    torch.testing.assert_close(found[:, 1], away.log())
    torch.testing.assert_close(found[:, 2], state.log_std.mean(-1))
    torch.testing.assert_close(found[:, 3], ((x - before).norm(dim=-1) + 1e-3).log())
    torch.testing.assert_close(found[:, 4], torch.cosine_similarity(x, y))
    without = CoReWorldModel(make_variant(tiny_config(), "rsac-dyn")).eval()
    assert readings(without, state, x, before).shape == (3, 4)


def test_one_usual_step_of_a_hundred_is_above_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(2_000, 4)) @ rng.normal(size=(4, 4)) + 3
    surprise = Surprise(steps)
    assert (surprise(steps) > 1).mean() == pytest.approx(0.01, abs=0.001)
    away = steps[0] - steps.mean(0)
    distance = np.sqrt(away @ np.linalg.inv(np.cov(steps.T)) @ away)
    assert surprise(steps[0]) * surprise.limit == pytest.approx(distance, rel=1e-4)
    surprise.save(tmp_path / "calm.json")
    loaded = Surprise.load(tmp_path / "calm.json")
    np.testing.assert_allclose(loaded(steps), surprise(steps))


def test_what_is_no_calibration_is_refused(
    tmp_path: Path, tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match="100 steps or more"):
        Surprise(np.zeros((99, 4)))
    with pytest.raises(ValueError, match="all of them finite"):
        Surprise(np.full((100, 4), np.nan))
    with pytest.raises(FileNotFoundError, match="There is no calibration"):
        Surprise.load(tmp_path / "none.json")
    for precision in ("[[1, 2]]", "[[-1]]", "[[NaN]]"):
        fields = f'"format_version": 1, "center": [1], "precision": {precision}, "limit": 1'
        (tmp_path / "other.json").write_text(f"{{{fields}}}")
        with pytest.raises(ValueError, match=r"is not a calibration|is not valid JSON"):
            Surprise.load(tmp_path / "other.json")
    model = CoReWorldModel(make_variant(tiny_config(), "no-recurrence"))
    with pytest.raises(ValueError, match="without recurrence"):
        calibrate_surprise(CoReWrapper(make_pixels(), model), 150)


def test_another_model_s_calibration_is_refused(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]
) -> None:
    model = CoReWorldModel(make_variant(tiny_config(), "rsac-dyn"))
    other = Surprise(np.random.default_rng(0).normal(size=(100, 5)))
    env = CoReWrapper(make_pixels(), model, surprise=other)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"4 readings .* calibrated with 5"):
        env.step(env.action_space.sample())


LENGTHS = (3, 5)
STEPS = 12


@pytest.fixture
def usual() -> Surprise:
    return Surprise(np.random.default_rng(0).normal(size=(200, 5)))


@pytest.fixture
def alone(
    usual: Surprise, tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]
) -> Callable[[CoReWorldModel], list[list[float]]]:
    """What single environments of some lengths tell, step by step, one episode after another."""

    def play(model: CoReWorldModel) -> list[list[float]]:
        found = []
        for row, length in enumerate(LENGTHS):
            env = CoReWrapper(make_pixels(length=length), model, surprise=usual)
            env.reset(seed=row)
            found.append([])
            for step in range(STEPS):
                *_, terminated, truncated, info = env.step(actions(step)[row])
                found[-1].append(info["surprise"])
                if terminated or truncated:
                    env.reset()
        return found

    return play


def actions(step: int) -> Any:
    return np.random.default_rng(step).uniform(-2, 3, (len(LENGTHS), 2)).astype(np.float32)


def test_vectors_tell_what_single_environments_tell(
    usual: Surprise,
    alone: Callable[[CoReWorldModel], list[list[float]]],
    tiny_config: Callable[..., CoReConfig],
    make_pixels: Callable[..., Any],
) -> None:
    model = CoReWorldModel(tiny_config())
    expected = alone(model)
    makers = [lambda length=length: make_pixels(length=length) for length in LENGTHS]
    venv = CoReVecEnvWrapper(DummyVecEnv(makers), model, surprise=usual)
    venv.seed(0)
    venv.reset()
    for step in range(STEPS):
        infos = venv.step(actions(step))[-1]
        told = [info["surprise"] for info in infos]
        np.testing.assert_allclose(told, [row[step] for row in expected], rtol=1e-3)
    same = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = CoReVectorWrapper(same, model, surprise=usual)
    envs.reset(seed=0)
    for step in range(STEPS):
        infos = envs.step(actions(step))[-1]
        assert infos["_surprise"].all()
        np.testing.assert_allclose(infos["surprise"], [row[step] for row in expected], rtol=1e-3)


def test_a_step_that_starts_an_episode_is_not_surprising(
    usual: Surprise,
    alone: Callable[[CoReWorldModel], list[list[float]]],
    tiny_config: Callable[..., CoReConfig],
    make_pixels: Callable[..., Any],
) -> None:
    model = CoReWorldModel(tiny_config())
    expected = [iter(row) for row in alone(model)]
    envs = CoReVectorWrapper(
        SyncVectorEnv([lambda length=length: make_pixels(length=length) for length in LENGTHS]),
        model,
        surprise=usual,
    )
    envs.reset(seed=0)
    taken = [0] * len(LENGTHS)
    ended = np.zeros(len(LENGTHS), bool)
    for _ in range(STEPS):
        now = np.stack([actions(taken[row])[row] for row in range(len(LENGTHS))])
        *_, terminated, truncated, infos = envs.step(now)
        np.testing.assert_array_equal(infos["_surprise"], ~ended)
        for row in np.flatnonzero(~ended):
            taken[row] += 1
            assert infos["surprise"][row] == pytest.approx(next(expected[row]), rel=1e-3)
        ended = terminated | truncated


class Camera(gym.ObservationWrapper[Any, Any, Any]):
    """A camera that may fail."""

    fault: str | None = None

    def observation(self, frame: Any) -> Any:
        if self.fault == "frozen":
            return self.last
        self.last = np.zeros_like(frame) if self.fault == "black" else frame
        return self.last


@pytest.mark.slow
def test_a_failing_camera_is_told_from_usual_episodes(tmp_path: Path) -> None:
    name = "cartpole-swingup-medium-v1"
    level = {"difficulty": "medium", "dynamic": True, "split": "val"}
    camera = Camera(gym.make(SUITE, **level))
    env = CoReWrapper(camera, name)
    player = LatentAgent(name, env.action_space, seed=0)
    calibrate_surprise(env, 500, player, seed=10).save(tmp_path / "calm.json")
    env = CoReWrapper(camera, name, surprise=tmp_path / "calm.json")
    told: dict[str | None, list[float]] = {}
    for fault in (None, "frozen", "black"):
        for seed in range(2):
            camera.fault = None
            latent, info = env.reset(seed=seed)
            assert "surprise" not in info
            for t in range(125):
                camera.fault = fault if t > 60 else None
                latent, _, _, _, info = env.step(player.predict(latent)[0])
                if t > 60:
                    told.setdefault(fault, []).append(info["surprise"])
    usual = np.array(told[None])
    assert (usual > 1).mean() < 0.1
    for fault in ("frozen", "black"):
        # The share of pairs in which the failing camera surprises more.
        assert (np.array(told[fault])[:, None] > usual).mean() > 0.95, fault
