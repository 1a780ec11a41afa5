"""The model that a training continues from, when only its folder is left."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from core_repr.agent import SequenceAlgorithm, agent_folder, learning_state
from core_repr.config import CoReConfig
from core_repr.files.names import CONFIG_FILE, EVALUATIONS_FILE, MAX_RECORD_BYTES, VALUES_FILE
from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_last_line
from core_repr.hub.model_folder import load_config

CHECKPOINT = re.compile(r"[0-9]{8}")
"""How a run names its checkpoints."""


@dataclass(frozen=True)
class Origin:
    """A model folder, and how far its training had come.

    Attributes:
        model: Its folder.
        agent_steps: Agent steps that it was trained for.
        updates: Updates that it was trained for.
        with_optimizers: Whether the folder holds the state of the optimisers, too.
        name: What others know the model by: a zoo name, a Hub repository, or the name of the
            folder that was asked for.
    """

    model: str
    agent_steps: int
    updates: int
    with_optimizers: bool
    name: str | None = None

    @classmethod
    def find(cls, folder: Path, name: str | None = None) -> Origin:
        """Looks up how far a model folder's training had come.

        Args:
            folder: A model folder, a checkpoint or a run's folder; of a run, the newest
                checkpoint is taken. Without records of the training, it counts as none.
            name: What others know the model by; the folder's name by default.

        Raises:
            FileNotFoundError: If it holds no model.
            ValueError: If a file of it is broken.
        """
        name = folder.resolve().name if name is None else name
        if not (folder / CONFIG_FILE).exists():
            newest = newest_checkpoint(folder)
            folder = folder / "model" if newest is None else newest
        config = load_config(folder)
        assert config.environment is not None
        if (folder / VALUES_FILE).exists():
            values = learning_state.read_values(folder)
            return cls(str(folder), values.agent_steps, values.updates, True, name)
        for place in (folder, folder.parent):
            if (place / EVALUATIONS_FILE).exists():
                steps, updates = _progress(place / EVALUATIONS_FILE)
                return cls(str(folder), steps, updates, False, name)
        return cls(str(folder), 0, 0, False, name)

    def check(self, config: CoReConfig) -> None:
        """Refuses settings that the model's weights do not fit.

        Args:
            config: Of the training that continues from it.

        Raises:
            ValueError: If they do not, or a file of the model is broken.
        """
        folder = Path(self.model)
        own = load_config(folder)
        agent_folder.check(folder, own)
        try:
            agent_folder.check(folder, config.replace(environment=own.environment))
        except ValueError as error:
            raise ValueError(
                f"A training that continues from {self.name} keeps the sizes of its networks; "
                "leave out the settings that change them."
            ) from error

    def load_into(self, agent: SequenceAlgorithm) -> None:
        """Gives a new agent the weights, the optimisers if there are any, and the counters."""
        folder = Path(self.model)
        agent.load_weights(folder)
        if self.with_optimizers:
            learning_state.restore(agent, folder)
        agent.num_timesteps, agent.updates = self.agent_steps, self.updates
        # The replay buffer is empty: the policy fills it before the first update.
        agent.acts_at_random, agent.updates_due = False, 0.0


def _progress(path: Path) -> tuple[int, int]:
    """Agent steps and updates at the last evaluation."""
    try:
        last = parse_last_line(read_bounded(path, MAX_RECORD_BYTES))
        counts = last["agent_steps"], last["updates"]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("agent_steps and updates must be whole numbers of at least 0")
    except (KeyError, TypeError):
        reason = "its last line lacks agent_steps or updates"
    except ValueError as error:
        reason = str(error)
    else:
        return counts
    raise ValueError(
        f"{path} is not a record of a training: {reason}; remove it, and the steps count from 0."
    )


def checkpoints(run: Path) -> list[Path]:
    """Returns the checkpoints of a run, the newest last; copies under other names are not ours."""
    folder = run / "checkpoints"
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if CHECKPOINT.fullmatch(path.name) and path.is_dir())


def newest_checkpoint(run: Path) -> Path | None:
    """Returns the newest checkpoint of a run; ``None`` if there is none."""
    return max(checkpoints(run), default=None)


def next_checkpoint(run: Path) -> Path:
    """Returns where the next checkpoint of a run goes."""
    newest = newest_checkpoint(run)
    numbers = itertools.count(0 if newest is None else int(newest.name) + 1)
    names = (run / "checkpoints" / f"{number:08d}" for number in numbers)
    return next(path for path in names if not os.path.lexists(path))
