"""Recording episodes as data sets of Minari's."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from core_repr.datasets.find import minari_folder
from core_repr.files.writing import in_a_sentence

LEAST_ROOM = 1_000_000
"""Bytes that stay free beside an episode, for what describes it."""

_log = logging.getLogger(__name__)


def record_dataset(
    env: gym.Env[Any, Any],
    dataset_id: str,
    agent: Any,
    episodes: int,
    random_episodes: float = 0.0,
    seed: int = 0,
    description: str | None = None,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Plays episodes and keeps them as a data set of Minari's; pixels without loss.

    Args:
        env: One environment, such as a :class:`~core_repr.CoReWrapper` for a data set of latents.
        dataset_id: Such as ``"cartpole/latents-v0"``.
        agent: Whatever has Stable-Baselines3's ``predict``; plays with its exploration.
        episodes: How many.
        random_episodes: Share of them with random actions instead.
        seed: Episode i is reset with seed + i.
        description: Goes into the data set.
        progress: Called after each episode.

    Returns:
        Agent steps.

    Raises:
        ModuleNotFoundError: If Minari is missing.
        FileExistsError: If there is such a data set.
        ValueError: If the id or a number is not valid.
        OSError: If it cannot be written.
    """
    try:
        from minari import create_dataset_from_buffers
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_dataset import DATASET_ID_RE
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Data sets of Minari need its package: pip install 'core-repr[datasets]'."
        ) from None
    matched = DATASET_ID_RE.fullmatch(dataset_id)
    if matched is None or matched.group("version") is None:
        raise ValueError(
            f"{dataset_id!r} is not the id of a data set: expected a name with a version, such as "
            "cartpole/latents-v0."
        )
    if not 0 <= random_episodes <= 1:
        raise ValueError(
            f"random_episodes={random_episodes} is a share; expected a number from 0 to 1."
        )
    place = minari_folder(dataset_id)
    if os.path.lexists(place):
        raise FileExistsError(f"There is a data set {place} already; choose another id.")
    env.action_space.seed(seed)
    dataset: Any = None
    steps, at_random_so_far = 0, 0
    try:
        for number in range(episodes):
            # Spread over the whole.
            at_random = at_random_so_far < int((number + 1) * random_episodes + 1e-9)
            at_random_so_far += at_random
            episode = _play(env, None if at_random else agent, seed + number)
            buffer = EpisodeBuffer(seed=seed + number, **episode)
            steps += len(episode["rewards"])
            with in_a_sentence(place), warnings.catch_warnings():
                # Of an author's address and the like, which stay empty.
                warnings.filterwarnings("ignore", category=UserWarning)
                _refuse_full_disk(place, episode)
                if dataset is None:
                    dataset = create_dataset_from_buffers(
                        dataset_id,
                        [buffer],
                        _Described(env),
                        description=description,
                        jpeg_encoding=False,
                    )
                else:
                    dataset.update_dataset_from_buffer([buffer])
            progress()
    except BaseException:
        # Not a part of it.
        shutil.rmtree(place, ignore_errors=True)
        raise
    return steps


class _Described(gym.Env[Any, Any]):
    """What a data set records of an environment."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.spec = _writable(env.spec)


def _writable(spec: EnvSpec | None) -> EnvSpec | None:
    """Returns a spec that JSON knows, or ``None`` with a warning."""
    if spec is None:
        return None
    spec = deepcopy(spec)
    point: Any = spec.entry_point
    if callable(point):
        # A class or function that was registered as it is has a name, too.
        spec.entry_point = f"{point.__module__}:{point.__qualname__}"
    try:
        EnvSpec.from_json(spec.to_json())
    except (ValueError, TypeError) as error:
        _log.warning(
            "The data set does not tell which environment it is of, whose arguments cannot be "
            "written as JSON: %s",
            error,
        )
        return None
    return spec


def _refuse_full_disk(place: Path, episode: dict[str, Any]) -> None:
    """Refuses what would fill the disk: HDF5 ends the process when that happens.

    Raises:
        OSError: If an episode may not fit.
    """
    seen = episode["observations"]
    size = sum(each.nbytes for each in (seen.values() if isinstance(seen, dict) else [seen]))
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if shutil.disk_usage(there).free < size + LEAST_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _play(env: gym.Env[Any, Any], agent: Any, seed: int) -> dict[str, Any]:
    """Plays an episode, at random without an agent."""
    observation, _ = env.reset(seed=seed)
    observations, actions = [deepcopy(observation)], []
    rewards, ends = list[float](), list[tuple[bool, bool]]()
    state, start = None, np.ones(1, bool)
    while not (ends and any(ends[-1])):
        if agent is None:
            action = env.action_space.sample()
        else:
            action, state = agent.predict(observation, state, start)
        actions.append(np.array(action))
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(deepcopy(observation))
        rewards.append(float(reward))
        ends.append((bool(terminated), bool(truncated)))
        start = np.zeros(1, bool)
    seen: Any
    if isinstance(observation, dict):
        seen = {key: np.stack([each[key] for each in observations]) for key in observation}
    else:
        seen = np.stack(observations)
    return {
        "observations": seen,
        "actions": np.stack(actions),
        "rewards": rewards,
        "terminations": [terminated for terminated, _ in ends],
        "truncations": [truncated for _, truncated in ends],
        "infos": {},
    }
