"""A tiny model, and environments that end at random, as one and as vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core_repr.config import CoReConfig
from core_repr.world_model import CoReWorldModel


class Ends(gym.Wrapper[Any, Any, Any, Any]):
    """Cuts episodes off after the given numbers of steps, over and over."""

    def __init__(self, env: gym.Env[Any, Any], lengths: Sequence[int]) -> None:
        super().__init__(env)
        self.lengths, self.episode = lengths, -1

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        self.episode += 1
        self.steps = 0
        return self.env.reset(**arguments)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        over = self.steps == self.lengths[self.episode % len(self.lengths)]
        return observation, reward, terminated, truncated or over, info


@pytest.fixture(scope="session")
def model(tiny_config: Callable[..., CoReConfig]) -> CoReWorldModel:
    torch.manual_seed(0)
    return CoReWorldModel(tiny_config())


@pytest.fixture(scope="session")
def ending_pixels(make_pixels: Callable[..., gym.Env[Any, Any]]) -> Callable[..., Any]:
    """Makes a pixel environment whose episodes have the given lengths."""
    return lambda lengths: Ends(make_pixels(length=8), lengths)


@pytest.fixture(scope="session")
def learners_latents() -> Callable[..., NDArray[np.float32]]:
    """Computes by ``observe`` what an agent sees of an episode that a ``Pixels`` recorded."""

    def compute(
        model: CoReWorldModel,
        episode: Any,
        features: str = "mean",
        generator: torch.Generator | None = None,
    ) -> NDArray[np.float32]:
        # The bounds of the actions of Pixels are −2 and 3.
        scaled = [2 * (action + 2) / 5 - 1 for action in episode.actions]
        # The last one leads out of the episode: it does not count.
        size = model.config.environment.action_size  # type: ignore[union-attr]
        actions = np.stack([*scaled, np.zeros(size)]).astype(np.float32)
        frames = torch.from_numpy(np.stack(episode.frames))[:, None]
        noise = None
        if features == "sample":
            assert generator is not None
            draws = [model.noise(generator, 1) for _ in frames]
            noise = type(draws[0])(*(torch.stack(parts) for parts in zip(*draws, strict=True)))
        with torch.no_grad():
            prior, posterior = model.observe(
                frames,
                torch.from_numpy(actions)[:, None],
                torch.zeros(len(frames), 1, dtype=torch.bool),
                noise,
            )
        state = prior if features == "prior" else posterior
        seen = state.sample_features if features == "sample" else state.features
        return seen[:, 0].numpy()

    return compute
