"""Shape checks and seeds for every test; a small environment, a tiny config and a Hub to share."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from jaxtyping import install_import_hook
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent / "hub"))

# Before anything imports the world model: the shapes in its signatures are checked in every call.
install_import_hook("core_repr.world_model", "beartype.beartype")

from core_repr.envs.rendering import select_backend  # noqa: E402

# Before anything imports MuJoCo, which then keeps to one way of rendering.
select_backend()

from local_hub import LocalHub  # noqa: E402

from core_repr.agent.feed_forward.pairs import EpisodePairs  # noqa: E402
from core_repr.config import (  # noqa: E402
    AugmentationConfig,
    ContrastiveConfig,
    CoReConfig,
    EncoderConfig,
    EnvironmentConfig,
    FeedForwardSACConfig,
    InverseDynamicsConfig,
    KLConfig,
    ObjectivesConfig,
    RecurrentDynamicsConfig,
    RewardConfig,
    SACConfig,
    WorldModelConfig,
)
from core_repr.files.json_files import write_json  # noqa: E402
from core_repr.files.names import MANIFEST_FILE  # noqa: E402
from core_repr.world_model import SequenceBatch  # noqa: E402

# Before torchrl, which would choose another way for all tests.
multiprocessing.get_start_method()

# Among tensors as tiny as these, threads only wait for each other.
torch.set_num_threads(1)

PIXELS = "core-repr-tests/Pixels-v0"


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


class Episode(NamedTuple):
    """What an episode of :class:`Pixels` gave: one frame more than actions and rewards."""

    frames: list[NDArray[np.uint8]]
    actions: list[NDArray[np.float32]]
    rewards: list[float]


class Pixels(gym.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """Random frames, and a record of every episode.

    Args:
        frame_size: Side of a frame in pixels.
        action_size: Number of action dimensions; the bounds, −2 and 3, are not the model's.
        length: Steps of an episode.
        terminates: Whether it terminates there, or is cut off.
        nan_reward: Whether rewards are not numbers.
    """

    metadata = {"render_modes": []}  # noqa: RUF012
    action_repeat = 4

    def __init__(
        self,
        frame_size: int = 16,
        action_size: int = 2,
        length: int = 8,
        terminates: bool = False,
        nan_reward: bool = False,
    ) -> None:
        self.observation_space = gym.spaces.Box(0, 255, (frame_size, frame_size, 3), np.uint8)
        self.action_space = gym.spaces.Box(-2, 3, (action_size,), np.float32)
        self.length, self.terminates, self.nan_reward = length, terminates, nan_reward
        self.episodes: list[Episode] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes.append(Episode([self._frame()], [], []))
        return self.episodes[-1].frames[-1].copy(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        frames, actions, rewards = self.episodes[-1]
        assert len(actions) < self.length, "stepped after the end"
        assert np.shape(action) == self.action_space.shape
        actions.append(np.array(action))
        rewards.append(float("nan") if self.nan_reward else float(np.sum(action)))
        frames.append(self._frame())
        over = len(actions) == self.length
        terminated, truncated = over and self.terminates, over and not self.terminates
        return frames[-1].copy(), rewards[-1], terminated, truncated, {}

    def _frame(self) -> NDArray[np.uint8]:
        shape = self.observation_space.shape
        return self.np_random.integers(256, size=shape, dtype=np.uint8)


gym.register(PIXELS, Pixels, disable_env_checker=True)


@pytest.fixture(scope="session")
def make_pixels() -> Callable[..., gym.Env[Any, Any]]:
    """Makes a :class:`Pixels`, registered as core-repr-tests/Pixels-v0, with its arguments."""
    return lambda **arguments: gym.make(PIXELS, **arguments)


@pytest.fixture
def make_pairs(tmp_path: Path) -> Callable[[CoReConfig], CoReConfig]:
    """Writes pairs of episodes for a config with policy similarity, which it returns with them."""

    def make(config: CoReConfig) -> CoReConfig:
        assert isinstance(config.agent, FeedForwardSACConfig) and config.agent.similarity
        rng, side = np.random.default_rng(0), config.world_model.frame_size
        folder = tmp_path / "pairs"
        folder.mkdir()
        pairs = EpisodePairs(config, folder)
        own = np.zeros(pairs.proprioception_size, np.float32)
        for actions in np.repeat(rng.uniform(-1, 1, (3, 7, 2)), 2, 0).astype(np.float32):
            for action in actions:
                frame = rng.integers(256, size=(side, side, 3), dtype=np.uint8)
                pairs.add(0, frame, action, 1.0, own)
            last = rng.integers(256, size=(side, side, 3), dtype=np.uint8)
            pairs.end_episode(0, last, own, terminated=False)
        pairs.seal()
        write_json(folder / MANIFEST_FILE, pairs.manifest())
        similarity = replace(config.agent.similarity, pairs=str(folder), states=5)
        return config.replace(agent=replace(config.agent, similarity=similarity))

    return make


@pytest.fixture(scope="session")
def servers() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def hub(servers: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """An empty Hub, to which the client is logged in as "user", with an empty cache."""
    servers.forget()
    for name, value in {
        "ENDPOINT": servers.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": servers.endpoint
        + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return servers


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., CoReConfig]:
    """Makes a config that fits :class:`Pixels` and computes fast; takes settings to change.

    ``tiny_config(world_model={...}, dynamics={...}, objectives={"reward": {...}, "kl": None},
    augmentation={...}, agent={...}, action_size=2)``.
    """

    def make(
        world_model: dict[str, Any] | None = None,
        dynamics: dict[str, Any] | None = None,
        objectives: dict[str, dict[str, Any] | None] | None = None,
        augmentation: dict[str, Any] | None = None,
        agent: dict[str, Any] | None = None,
        action_size: int = 2,
    ) -> CoReConfig:
        of_dynamics: dict[str, Any] = {
            "deterministic_size": 9,
            "stochastic_size": 5,
            "observation_layers": (8,),
            "recurrent_layers": (10,),
            "prior_layers": (11,),
            "posterior_layers": (12, 13),
            "normalize_statistics": False,
            "log_std_offset": -1.0,
        }
        sizes: dict[str, Any] = {
            "frame_size": 16,
            "crop_size": 12,
            "encoder": EncoderConfig(filters=(4, 6), strides=(2, 1), output_size=7),
            "dynamics": RecurrentDynamicsConfig(**{**of_dynamics, **(dynamics or {})}),
        }
        parts: dict[str, tuple[Any, dict[str, Any]]] = {
            "frames": (ContrastiveConfig, {"layers": (8,)}),
            "kl": (KLConfig, {}),
            "reward": (RewardConfig, {"layers": (8,)}),
            "inverse_dynamics": (InverseDynamicsConfig, {"layers": (8,)}),
        }
        changes = objectives or {}
        terms = {
            slot: kind(**{**fields, **(changes.get(slot) or {})})
            if changes.get(slot, {}) is not None
            else None
            for slot, (kind, fields) in parts.items()
        }
        joint = (agent or {}).get("joint_update", True)
        settings: dict[str, Any] = {
            "actor_layers": (16,),
            "critic_layers": (16,),
            "replay_size": 300,
            "learning_starts": 16,
            "batch_size": 4,
            "sequence_length": 5,
            "joint_update": joint,
            "critic_weight": 0.1 if joint else 1.0,
            "precision": "float32",
        }
        return CoReConfig(
            WorldModelConfig(**{**sizes, **(world_model or {})}),
            ObjectivesConfig(**terms),
            AugmentationConfig(**(augmentation or {})),
            SACConfig(**{**settings, **(agent or {})}),
            EnvironmentConfig(PIXELS, {}, (-2.0,) * action_size, (3.0,) * action_size, 4),
        )

    return make


@pytest.fixture(scope="session")
def joined_and_apart() -> Callable[[SequenceBatch], tuple[SequenceBatch, SequenceBatch]]:
    """Makes of a mini-batch one whose columns go on with a second episode at half of their length.

    The other one holds the halves as sequences of their own.
    """

    def make(batch: SequenceBatch) -> tuple[SequenceBatch, SequenceBatch]:
        half = len(batch.mask) // 2
        is_first = batch.is_first.clone()
        is_first[half] = True
        joined = batch._replace(is_first=is_first)
        halves = (torch.cat([field[:half], field[half:]], 1) for field in joined)
        return joined, SequenceBatch(*halves)

    return make
