"""Records pairs of episodes: the same states and actions under two draws of the distractions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from core_repr.agent import SequenceAlgorithm
from core_repr.agent.feed_forward.pairs import EpisodePairs
from core_repr.evaluation.recorded import Recording, record, replay, to_model
from core_repr.files.json_files import write_json
from core_repr.files.names import MANIFEST_FILE
from core_repr.files.writing import whole_files


class Recorded(NamedTuple):
    """What recorded pairs are like.

    Attributes:
        mean: Return of an episode.
        differ: Whether distractions made the episodes of a pair look different.
    """

    mean: float
    differ: bool


def record_pairs(
    agent: SequenceAlgorithm,
    env: gym.Env[Any, Any],
    folder: Path,
    count: int,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> Recorded:
    """Plays episodes without exploration, and each again through other distractions.

    Args:
        agent: Acts; a good one: what it does tells which states are alike.
        env: Which ``reset(options={"distraction_seed": n})`` draws other distractions in, and
            which repeats an episode otherwise.
        folder: Where to put them; must not be there yet, or be empty.
        count: Pairs.
        seed: Of the first episode.
        progress: Called after each pair.

    Returns:
        What they are like.

    Raises:
        FileExistsError: If the folder holds anything.
        ValueError: If the environment does not repeat an episode.
        OSError: If it cannot be written; nothing is left behind.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another folder for the pairs.")
    returns, differ = [], False
    with whole_files(folder) as staged:
        pairs = EpisodePairs(agent.config, staged)
        for number in range(seed, seed + count):
            options = {"distraction_seed": 2 * number}
            first = record(agent, env, number, deterministic=True, options=options)
            second = replay(agent, env, first, 2 * number + 1)
            _check(first, second)
            differ |= not np.array_equal(first.frames, second.frames)
            for recording in (first, second):
                _append(pairs, agent, recording)
            returns.append(first.rewards.sum())
            progress()
        pairs.seal()
        write_json(staged / MANIFEST_FILE, pairs.manifest())
    return Recorded(float(np.mean(returns)), differ)


def _check(first: Recording, second: Recording) -> None:
    if len(first.rewards) != len(second.rewards) or not np.allclose(first.rewards, second.rewards):
        raise ValueError(
            "The environment gave other rewards when an episode was repeated with the same seed "
            "and actions: it does not repeat episodes, so there are no pairs of them."
        )


def _append(pairs: EpisodePairs, agent: SequenceAlgorithm, recording: Recording) -> None:
    actions = to_model(agent, recording)
    for step, reward in enumerate(recording.rewards):
        proprioception = recording.proprioception[step]
        pairs.add(0, recording.frames[step], actions[step], float(reward), proprioception)
    last = recording.frames[-1], recording.proprioception[-1]
    pairs.end_episode(0, *last, terminated=False)
