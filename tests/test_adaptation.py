"""An encoder that goes on adjusting, and nothing else with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from core_repr import CoReWorldModel, CoReWrapper
from core_repr.adaptation import AdaptingWrapper
from core_repr.config import CoReConfig, make_variant


def play(env: gym.Env[Any, Any], episodes: int) -> list[Any]:
    env.action_space.seed(0)
    seen = []
    for episode in range(episodes):
        seen.append(env.reset(seed=episode)[0])
        over = False
        while not over:
            latent, _, terminated, truncated, _ = env.step(env.action_space.sample())
            seen.append(latent)
            over = terminated or truncated
    return seen


def test_the_encoder_alone_learns_and_only_between_episodes(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]
) -> None:
    model = CoReWorldModel(tiny_config())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    env = AdaptingWrapper(CoReWrapper(make_pixels(), model), updates_per_episode=2)
    first = play(env, 1)
    plain = CoReWorldModel(tiny_config())
    plain.load_state_dict(before)
    np.testing.assert_array_equal(first, play(CoReWrapper(make_pixels(), plain), 1))
    assert env.updates == 0
    play(env, 3)
    assert env.updates == 2 * 3
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed and all(name.startswith("encoder.") for name in changed)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_what_it_learns_from(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]
) -> None:
    pixels = make_pixels(length=5)
    env = AdaptingWrapper(CoReWrapper(pixels, CoReWorldModel(tiny_config())), episodes=2)
    play(env, 4)
    env.reset()
    kept = [episode.records for episode in env._buffer.episodes]
    assert len(kept) == 2
    for records, (frames, actions, _) in zip(kept, pixels.unwrapped.episodes[-3:-1], strict=True):
        np.testing.assert_array_equal(records["frame"], np.stack(frames))
        expected = (np.stack(actions) + 2) / 2.5 - 1
        np.testing.assert_allclose(records["action"][:-1], expected, atol=1e-6)


def test_what_cannot_be_adapted(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., Any]
) -> None:
    with pytest.raises(TypeError, match="goes around a CoReWrapper"):
        AdaptingWrapper(make_pixels())
    env = CoReWrapper(make_pixels(), CoReWorldModel(tiny_config()))
    for options in (
        {"updates_per_episode": 0},
        {"episodes": True},
        {"learning_rate": 0},
        {"learning_rate": math.inf},
    ):
        with pytest.raises(ValueError, match="does not do"):
            AdaptingWrapper(env, **options)  # type: ignore[arg-type]
    restarted = gym.wrappers.Autoreset(make_pixels())
    with pytest.raises(ValueError, match="leave out Autoreset"):
        AdaptingWrapper(CoReWrapper(restarted, CoReWorldModel(tiny_config())))
    # DBC's losses need rewards, which there are none of here.
    for variant in ("rsac", "dbc", "curl"):
        model = CoReWorldModel(make_variant(tiny_config(), variant))
        side = model.config.world_model.frame_size
        with pytest.raises(ValueError, match="nothing to adjust its encoder by"):
            AdaptingWrapper(CoReWrapper(make_pixels(frame_size=side), model))
    with pytest.raises(ValueError, match="call reset"):
        _ = CoReWrapper(make_pixels(), CoReWorldModel(tiny_config())).last_input
