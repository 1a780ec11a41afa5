"""Single, vector and SB3 wrappers give what the learner's own ``observe`` computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVecEnvWrapper, CoReVectorWrapper, CoReWrapper

STEPS = 14

ends = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4)
"""For each of some environments the lengths of its episodes."""

Latents = list[list[NDArray[np.float32]]]
"""Those of each episode of an environment."""


@pytest.fixture(scope="module")
def check(
    model: CoReWorldModel, learners_latents: Callable[..., NDArray[np.float32]]
) -> Callable[..., None]:
    def agree(pixels: gym.Env[Any, Any], latents: Latents, features: str, seed: int) -> None:
        """Compares with the learner, episode by episode."""
        generator = torch.Generator().manual_seed(seed)
        episodes = pixels.unwrapped.episodes  # type: ignore[attr-defined]
        assert len(episodes) == len(latents)
        for episode, seen in zip(episodes, latents, strict=True):
            expected = learners_latents(model, episode, features, generator)
            # float32; single steps and whole sequences order their sums differently
            np.testing.assert_allclose(np.stack(seen), expected, atol=1e-4)

    return agree


features = st.sampled_from(["mean", "sample", "prior"])
seeds = st.integers(0, 2**31)


@settings(deadline=None, max_examples=5)
@given(lengths=ends, features=features, seed=seeds)
def test_single(
    ending_pixels: Callable[..., Any],
    model: CoReWorldModel,
    check: Callable[..., None],
    lengths: list[list[int]],
    features: Any,
    seed: int,
) -> None:
    env = CoReWrapper(ending_pixels(lengths[0]), model, features=features)
    env.action_space.seed(seed)
    latents = [[env.reset(seed=seed)[0]]]
    for _ in range(STEPS):
        latent, _, _, over, _ = env.step(env.action_space.sample())
        latents[-1].append(latent)
        if over:
            latents.append([env.reset()[0]])
    check(env, latents, features, seed)


@settings(deadline=None, max_examples=16)
@given(
    lengths=ends, features=features, seed=seeds, mode=st.sampled_from(AutoresetMode), data=st.data()
)
def test_vector(
    ending_pixels: Callable[..., Any],
    model: CoReWorldModel,
    check: Callable[..., None],
    lengths: list[list[int]],
    features: Any,
    seed: int,
    mode: AutoresetMode,
    data: st.DataObject,
) -> None:
    pixels = SyncVectorEnv(
        [lambda own=own: ending_pixels(own) for own in lengths], autoreset_mode=mode
    )
    envs = CoReVectorWrapper(pixels, model, features=features)
    envs.action_space.seed(seed)
    count = len(lengths)
    latents: list[Latents] = [[[first]] for first in envs.reset(seed=seed)[0]]
    over = np.zeros(count, np.bool_)
    for _ in range(STEPS):
        was_over = over
        seen, _, _, over, infos = envs.step(envs.action_space.sample())
        assert seen.shape == (count, model.latent_size) and seen.dtype == np.float32
        for i in range(count):
            if mode == AutoresetMode.NEXT_STEP and was_over[i]:
                latents[i].append([seen[i]])
            elif mode == AutoresetMode.SAME_STEP and over[i]:
                latents[i][-1].append(infos["final_obs"][i])
                latents[i].append([seen[i]])
            else:
                latents[i][-1].append(seen[i])
        if mode == AutoresetMode.SAME_STEP:
            final = infos.get("final_obs", [None] * count)
            assert [latent is not None for latent in final] == over.tolist()
        if mode == AutoresetMode.DISABLED:
            # Some are reset in mid-episode.
            mask = over | data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
            if mask.any():
                again, _ = envs.reset(options={"reset_mask": mask.copy()})
                assert np.array_equal(again[~mask], seen[~mask])
                for i in np.flatnonzero(mask):
                    latents[i].append([again[i]])
    for i in range(count):
        check(pixels.envs[i], latents[i], features, seed + i)


@settings(deadline=None, max_examples=8)
@given(lengths=ends, features=features, seed=seeds)
def test_sb3(
    ending_pixels: Callable[..., Any],
    model: CoReWorldModel,
    check: Callable[..., None],
    lengths: list[list[int]],
    features: Any,
    seed: int,
) -> None:
    pixels = DummyVecEnv([lambda own=own: ending_pixels(own) for own in lengths])
    venv = CoReVecEnvWrapper(pixels, model, features=features)
    venv.seed(seed)
    rng = np.random.default_rng(seed)
    latents: list[Latents] = [[[first]] for first in venv.reset()]
    for _ in range(STEPS):
        actions = rng.uniform(-2, 3, (len(lengths), 2)).astype(np.float32)
        seen, _, over, infos = venv.step(actions)
        for i in range(len(lengths)):
            if over[i]:
                latents[i][-1].append(infos[i]["terminal_observation"])
                latents[i].append([seen[i]])
            else:
                latents[i][-1].append(seen[i])
    for i in range(len(lengths)):
        check(pixels.envs[i], latents[i], features, seed + i)


def test_latents_tell_frames_apart(model: CoReWorldModel, ending_pixels: Any) -> None:
    """Else agreement would mean nothing."""
    env = CoReWrapper(ending_pixels([8]), model)
    latents = [env.reset(seed=0)[0], *(env.step(np.zeros(2))[0] for _ in range(7))]
    assert np.abs(np.diff(latents, axis=0)).max(1).min() > 0.01


def test_draws_of_the_latents_follow_the_seed(model: CoReWorldModel, ending_pixels: Any) -> None:
    env = CoReWrapper(ending_pixels([8]), model, features="sample")

    def play(seed: int | None) -> NDArray[np.float32]:
        first = env.reset(seed=seed)[0]
        return np.stack([first, *(env.step(np.ones(2))[0] for _ in range(4))])

    first, goes_on, again, other = play(3), play(None), play(3), play(4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, goes_on) and not np.array_equal(first, other)
    # Means of the same episode differ from samples.
    means = CoReWrapper(ending_pixels([8]), model).reset(seed=3)[0]
    assert not np.allclose(means[-5:], first[0, -5:], atol=1e-2)
    # Without any seed, no two are alike.
    unseeded = [
        CoReWrapper(ending_pixels([8]), model, features="sample")._observer._tracker
        for _ in range(2)
    ]
    draws = [tracker._generators[0].get_state() for tracker in unseeded]
    assert not torch.equal(*draws)
