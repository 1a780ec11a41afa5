"""What a latent state knows of the physics, and what distractions do to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from core_repr.agent import SequenceAlgorithm
from core_repr.evaluation.recorded import Recording, observe, record, replay
from core_repr.world_model import CoReWorldModel
from core_repr.world_model.encoders import Encoder

STACK = 3
LEAST_EPISODES = 4
"""Frames that the comparisons see: velocities show in several frames only."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Shares of the number of samples that are tried as the weight of the squared coefficients."""


@dataclass(frozen=True)
class ProbeResult:
    """Linear probes of a model's latents, and how much distractions move them.

    Attributes:
        episodes: Episodes that the probes were fitted on, and as many that they were scored on.
        r2: Features → quantity → R² on episodes with validation backgrounds: 1 is perfect, 0 no
            better than the mean.
        invariance: Distance between latents of the same state under two different distractions, as
            a share of the distance between latents of different states: 0 is perfect.
    """

    episodes: int
    r2: dict[str, dict[str, float]]
    invariance: float

    def mean_r2(self, features: str) -> float:
        """Returns the mean over the quantities."""
        return float(np.mean(list(self.r2[features].values())))

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON knows it."""
        means = {features: self.mean_r2(features) for features in self.r2}
        return {
            "episodes": self.episodes,
            "mean_r2": means,
            "r2": self.r2,
            "invariance": self.invariance,
        }


def probe(
    agent: SequenceAlgorithm,
    training_env: gym.Env[Any, Any],
    validation_env: gym.Env[Any, Any],
    episodes: int,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> ProbeResult:
    """Fits linear probes on training backgrounds and scores them on validation backgrounds.

    Half of the episodes are the agent's own, with exploration, half are random. The latents are
    compared with what is there without learning: an encoder of the same form with random weights,
    and principal components of the pixels, each over three successive frames and, for the
    components, as many numbers as a latent has.

    Args:
        agent: The agent and its model.
        training_env: A task of the Distracting Control Suite, made with ``physics_state=True``.
        validation_env: The same with validation backgrounds.
        episodes: Episodes of each, at least 4.
        seed: Seed of the first episode.
        progress: Called after each episode.

    Raises:
        ValueError: If there are too few episodes.
    """
    if episodes < LEAST_EPISODES:
        raise ValueError(f"Probes need at least {LEAST_EPISODES} episodes, not {episodes}.")
    recorded = []
    for env, first in ((training_env, seed), (validation_env, seed + episodes)):
        for i in range(episodes):
            recorded.append(record(agent, env, first + i, at_random=i % 2 == 1))
            progress()
    seen, unseen = recorded[:episodes], recorded[episodes:]
    model = agent.world_model
    names = validation_env.unwrapped.quantities.names  # type: ignore[attr-defined]
    features = {
        "latent": lambda recording: latents(agent, recording),
        "random encoder": _random_encoder(model, seed),
        "pixel components": _pixel_components(model, seen),
    }
    r2 = {}
    for kind, of in features.items():
        train = [(of(recording), recording.quantities[STACK - 1 :]) for recording in seen]
        test = [(of(recording), recording.quantities[STACK - 1 :]) for recording in unseen]
        r2[kind] = dict(zip(names, linear_r2(train, test).tolist(), strict=True))
    return ProbeResult(episodes, r2, _invariance(agent, validation_env, unseen, progress))


def latents(agent: SequenceAlgorithm, recording: Recording) -> Float[np.ndarray, "n z"]:
    """Returns what agents see of an episode, from the third frame on."""
    _, posterior = observe(agent, recording)
    seen: NDArray[np.float32] = posterior.features[STACK - 1 :].cpu().numpy()
    return seen


def linear_r2(
    train: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    test: Sequence[tuple[NDArray[Any], NDArray[Any]]],
) -> Float[np.ndarray, " q"]:
    """Fits ridge regressions and scores them on other episodes.

    The weight of the squared coefficients is the one that does best on the last quarter of the
    training episodes.

    Args:
        train: Features ``(n, d)`` and quantities ``(n, q)`` of each training episode.
        test: The same for scoring.

    Returns:
        R² of each quantity; 0 for one that does not change.
    """
    held_out = max(1, len(train) // 4)
    scores = [
        _fit_and_score(train[:-held_out], train[-held_out:], ridge).mean() for ridge in RIDGES
    ]
    return _fit_and_score(train, test, RIDGES[int(np.argmax(scores))])


def _fit_and_score(
    train: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    test: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    ridge: float,
) -> NDArray[np.float64]:
    x, y = (np.concatenate(parts).astype(np.float64) for parts in zip(*train, strict=True))
    mean, scale = x.mean(0), x.std(0)
    # What hardly varies here may vary more elsewhere, and must not count for more than it does.
    scale = np.maximum(scale, 0.05 * scale.max() + 1e-6)
    x = (x - mean) / scale
    offset = y.mean(0)
    penalty = ridge * len(x) * np.eye(x.shape[1])
    coefficients = np.linalg.solve(x.T @ x + penalty, x.T @ (y - offset))
    x_test, y_test = (np.concatenate(parts) for parts in zip(*test, strict=True))
    error = (((x_test - mean) / scale) @ coefficients + offset - y_test) ** 2
    variance = y_test.var(0)
    varies = variance > 1e-12
    r2: NDArray[np.float64] = np.where(varies, 1 - error.mean(0) / np.where(varies, variance, 1), 0)
    return r2


def _invariance(
    agent: SequenceAlgorithm,
    env: gym.Env[Any, Any],
    recordings: Sequence[Recording],
    progress: Callable[[], object],
) -> float:
    same, different = [], []
    rng = np.random.default_rng(0)
    for recording in recordings:
        other = replay(agent, env, recording, recording.seed)
        one, two = (latents(agent, each) for each in (recording, other))
        same.append(np.linalg.norm(one - two, axis=-1).mean())
        shuffled = two[rng.permutation(len(two))]
        different.append(np.linalg.norm(one - shuffled, axis=-1).mean())
        progress()
    return float(np.mean(same) / np.mean(different))


def _random_encoder(
    model: CoReWorldModel, seed: int
) -> Callable[[Recording], Float[np.ndarray, "n f"]]:
    sizes = model.config.world_model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # One frame at a time: what they have in common is joined afterwards.
        encoder = Encoder(replace(sizes.encoder, frame_stack=1), sizes.crop_size)

    def encode(recording: Recording) -> NDArray[np.float32]:
        with torch.inference_mode():
            cropped = _tensor(_crop(recording.frames, sizes.crop_size))
            x = torch.cat([encoder(part) for part in cropped.split(64)])
        return _stack(x.numpy())

    return encode


def _pixel_components(
    model: CoReWorldModel, recordings: Sequence[Recording]
) -> Callable[[Recording], Float[np.ndarray, "n f"]]:
    """Principal components of single frames; with three frames, as many numbers as a latent."""
    side = model.config.world_model.crop_size
    count = model.latent_size // STACK

    def pixels(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        flat = _crop(frames, side)[:, ::2, ::2].reshape(len(frames), -1)
        return flat.astype(np.float32) / np.float32(255)

    # Every few frames: neighbours are nearly the same.
    sample = np.concatenate([pixels(recording.frames[::4]) for recording in recordings])
    mean = sample.mean(0)
    _, _, axes = torch.pca_lowrank(
        torch.from_numpy(sample - mean), min(count, *sample.shape), center=False
    )
    components = axes.numpy()
    return lambda recording: _stack((pixels(recording.frames) - mean) @ components)


def _crop(frames: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    start = (frames.shape[1] - side) // 2
    return frames[:, start : start + side, start : start + side]


def _stack(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Joins the features of each frame with those of the two before it."""
    count = len(features) - STACK + 1
    return np.concatenate([features[i : i + count] for i in range(STACK)], -1)


def _tensor(frames: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames))
