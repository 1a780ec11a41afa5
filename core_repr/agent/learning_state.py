"""What learning resumes from besides the weights: optimisers, counters, generators."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor

from core_repr.agent import checkpoint
from core_repr.agent.checkpoint import GlobalGenerators
from core_repr.agent.learner import SequenceLearner
from core_repr.files.json_files import fit, read_json, write_json
from core_repr.files.names import TENSORS_FILE, VALUES_FILE
from core_repr.files.weights import state

FORMAT_VERSION = 2
POLICY_GENERATOR = "policy_generator"
AVERAGE = "average."

_log = logging.getLogger(__name__)

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class LearningValues:
    """The numbers of a training that are not tensors.

    Attributes:
        format_version: Version of this layout.
        agent_steps: Agent steps taken.
        updates: Updates made.
        episodes: Episodes finished.
        updates_due: Updates that the collected steps call for and that are still to be made.
        uncounted_steps: Agent steps since the last end of an episode, which call for more.
        acts_at_random: Whether the first steps are random.
        progress_remaining: From 1 at the start of the learning to 0 at its end.
        scheduled: Whether a schedule changed the learning rates.
        episode_infos: Return, length and time of the newest episodes.
        action_space: State of the generator of random actions.
        generators: Python's and NumPy's own generators.
        successes: Whether the newest episodes succeeded, where the environment tells.
    """

    format_version: int
    agent_steps: Count
    updates: Count
    episodes: Count
    updates_due: Annotated[float, Field(ge=0)]
    uncounted_steps: Count
    acts_at_random: bool
    progress_remaining: float
    scheduled: bool
    episode_infos: list[dict[str, float]]
    action_space: dict[str, Any]
    generators: GlobalGenerators
    successes: list[bool] = dataclasses.field(default_factory=list)


_values: TypeAdapter[LearningValues] = TypeAdapter(LearningValues)


def write(algorithm: SequenceLearner, folder: Path) -> None:
    """Writes ``training.safetensors`` and ``training.json`` into a folder.

    Raises:
        OSError: If they cannot be written.
    """
    tensors, generators = checkpoint.global_generators()
    for name, optimizer in vars(algorithm.optimizers).items():
        tensors |= checkpoint.optimizer_tensors(name, optimizer)
    tensors |= {AVERAGE + name: value for name, value in algorithm.average.tensors().items()}
    tensors |= _unpublished(algorithm)
    tensors[POLICY_GENERATOR] = algorithm.policy.generator.get_state()
    values = LearningValues(
        format_version=FORMAT_VERSION,
        agent_steps=algorithm.num_timesteps,
        updates=algorithm.updates,
        episodes=algorithm._episode_num,
        updates_due=algorithm.updates_due,
        uncounted_steps=algorithm.uncounted_steps,
        acts_at_random=algorithm.acts_at_random,
        progress_remaining=algorithm._current_progress_remaining,
        scheduled=algorithm.learning_rate_schedule is not None,
        episode_infos=[
            {name: float(value) for name, value in info.items() if name in "rlt"}
            for info in algorithm.ep_info_buffer or ()
        ],
        action_space=dict(algorithm.action_space.np_random.bit_generator.state),
        generators=generators,
        successes=[bool(success) for success in algorithm.ep_success_buffer or ()],
    )
    checkpoint.write_tensors(folder / TENSORS_FILE, tensors)
    write_json(folder / VALUES_FILE, dataclasses.asdict(values))


def read_values(folder: Path) -> LearningValues:
    """Reads the numbers of a training.

    Raises:
        FileNotFoundError: If they are missing.
        ValueError: If they are broken or of another version.
    """
    path = folder / VALUES_FILE
    fields = read_json(path)
    if fields.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {fields.get('format_version')!r}, but this release reads "
            f"{FORMAT_VERSION}; install a core-repr release that fits it."
        )
    return fit(path, fields, _values)


def restore(algorithm: SequenceLearner, folder: Path, with_global_generators: bool = False) -> None:
    """Puts an algorithm, with the weights of the same folder, back to where it was.

    Args:
        algorithm: One of the same config.
        folder: Where :func:`write` wrote.
        with_global_generators: Also set torch's, NumPy's and Python's own random generators.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is broken, or belongs to another version or config.
    """
    values = read_values(folder)
    if values.scheduled and algorithm.learning_rate_schedule is None:
        _log.warning(
            "%s was learning with a schedule, which cannot be saved: to continue with it, pass "
            "learning_rate_schedule again.",
            folder,
        )
    tensors = restore_tensors(algorithm, folder)
    algorithm.num_timesteps = values.agent_steps
    algorithm.updates = values.updates
    algorithm._episode_num = values.episodes
    algorithm.updates_due = values.updates_due
    algorithm.uncounted_steps = values.uncounted_steps
    algorithm.acts_at_random = values.acts_at_random
    algorithm._current_progress_remaining = values.progress_remaining
    window = algorithm._stats_window_size
    algorithm.ep_info_buffer = deque(values.episode_infos, maxlen=window)
    algorithm.ep_success_buffer = deque(values.successes, maxlen=window)
    try:
        _restore_generators(algorithm, values, tensors, with_global_generators)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{folder}: the state of a random generator does not fit ({error}); "
            "resume from another checkpoint."
        ) from None


def restore_tensors(algorithm: SequenceLearner, folder: Path) -> dict[str, Tensor]:
    """Fills optimisers, average and target critics, and returns all tensors of the file.

    Args:
        algorithm: One of the same config, with the weights of the same folder.
        folder: Where :func:`write` wrote.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is broken or belongs to another config.
    """
    tensors = checkpoint.read_tensors(folder / TENSORS_FILE)
    for name, optimizer in vars(algorithm.optimizers).items():
        checkpoint.restore_optimizer(name, optimizer, tensors)
    algorithm.average.restore(
        {
            name.removeprefix(AVERAGE): tensor
            for name, tensor in tensors.items()
            if name.startswith(AVERAGE)
        }
    )
    try:
        with torch.no_grad():
            for name, tensor in _unpublished(algorithm).items():
                tensor.copy_(tensors[name].view(tensor.shape))
    except (KeyError, RuntimeError):
        raise ValueError(
            f"{folder}: the target critics are not those of the config; resume from another "
            "checkpoint."
        ) from None
    return tensors


def _unpublished(algorithm: SequenceLearner) -> dict[str, Tensor]:
    """Returns what a model's files do not hold of actor and critics, such as target critics."""
    networks = algorithm.policy.actor_critic
    published = state(networks.published())
    return {n: value for n, value in state(networks).items() if n not in published}


def _restore_generators(
    algorithm: SequenceLearner,
    values: LearningValues,
    tensors: Mapping[str, Tensor],
    with_global_generators: bool,
) -> None:
    algorithm.policy.generator.set_state(tensors[POLICY_GENERATOR])
    algorithm.action_space.np_random.bit_generator.state = values.action_space
    if with_global_generators:
        checkpoint.restore_global_generators(tensors, values.generators)


def set_learning_rates(algorithm: SequenceLearner) -> None:
    """Multiplies the config's learning rates with the schedule, if there is one."""
    if algorithm.learning_rate_schedule is None:
        return
    factor = float(algorithm.learning_rate_schedule(algorithm._current_progress_remaining))
    for optimizer in vars(algorithm.optimizers).values():
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = factor * group["initial_lr"]
    algorithm.logger.record("train/learning_rate_factor", factor)
