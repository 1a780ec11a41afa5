"""The model that a training goes on from, when only its folder is left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from core_repr.agent import CoReSAC, learning_state
from core_repr.world_model import storage

EVALUATIONS_FILE = "evaluations.jsonl"


@dataclass(frozen=True)
class Origin:
    """A model folder, and how far its training had come.

    Attributes:
        model: Its folder.
        agent_steps: Agent steps that it was trained for.
        updates: Updates that it was trained for.
        with_optimizers: Whether the folder holds the state of the optimisers, too.
    """

    model: str
    agent_steps: int
    updates: int
    with_optimizers: bool

    @classmethod
    def find(cls, folder: Path) -> Origin:
        """Looks up how far a model folder's training had come.

        Args:
            folder: A model folder, a checkpoint or a run's folder; of a run, the newest
                checkpoint is taken.

        Raises:
            FileNotFoundError: If it holds no model.
            ValueError: If a file of it is broken.
        """
        if not (folder / storage.CONFIG_FILE).exists():
            newest = newest_checkpoint(folder)
            folder = folder / "model" if newest is None else newest
        config = storage.load_config(folder)
        assert config.environment is not None
        if (folder / learning_state.VALUES_FILE).exists():
            values = learning_state.read_values(folder)
            return cls(str(folder), values.agent_steps, values.updates, True)
        for place in (folder, folder.parent):
            if (place / EVALUATIONS_FILE).exists():
                last = json.loads((place / EVALUATIONS_FILE).read_text().splitlines()[-1])
                return cls(str(folder), last["agent_steps"], last["updates"], False)
        return cls(str(folder), 0, 0, False)

    def load_into(self, agent: CoReSAC) -> None:
        """Gives a new agent the weights, the optimisers if there are any, and the counters."""
        folder = Path(self.model)
        agent.load_weights(folder)
        if self.with_optimizers:
            learning_state.restore(agent, folder)
        agent.num_timesteps, agent._n_updates = self.agent_steps, self.updates
        # The replay buffer is empty: the policy fills it before the first update.
        agent._acts_at_random, agent._updates_due = False, 0.0


def newest_checkpoint(run: Path) -> Path | None:
    """Returns the newest checkpoint of a run; ``None`` if there is none."""
    return max((path for path in (run / "checkpoints").glob("[0-9]*")), default=None)
