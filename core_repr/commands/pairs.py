"""``core-repr pairs``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from core_repr.commands.environment import EnvironmentChanges, Import, open_agent
from core_repr.commands.numbers import at_least


@dataclass
class Pairs:
    """Records pairs of episodes of a good agent, which the variant pse learns from.

    Each episode is played without exploration, and then again, with the same seed and actions,
    through other distractions.

    Attributes:
        model: A zoo name or a folder, such as a run's model folder, of a good agent: the variant
            sac-drq, as published, or any other that sees frames of the same size.
        folder: Where to put the pairs; must not be there yet, or be empty.
        episodes: Pairs to record.
        seed: Seed of the first episode.
        changes: What to change in the environment.
        import_: Module to import first, which registers the environment that the model was
            trained in.
    """

    model: tyro.conf.Positional[str]
    folder: tyro.conf.Positional[Path]
    episodes: int = 500
    seed: int = 0
    changes: Annotated[EnvironmentChanges, tyro.conf.arg(name="")] = field(
        default_factory=EnvironmentChanges
    )
    import_: Import = None

    def __call__(self) -> int:
        """Records the pairs."""
        from tqdm import tqdm

        from core_repr.evaluation.pairs import record_pairs
        from core_repr.files.places import user_path

        at_least(1, episodes=self.episodes)
        at_least(0, seed=self.seed)
        agent, env = open_agent(self.model, self.changes, "train", self.import_)
        with tqdm(total=self.episodes, unit="pair") as bar:
            recorded = record_pairs(
                agent, env, user_path(self.folder), self.episodes, self.seed, bar.update
            )
        env.close()
        print(
            f"{self.folder} holds {self.episodes} pairs of episodes, with a mean return of "
            f"{recorded.mean:.0f}; learn from them with core-repr train --variant pse "
            f"--agent.similarity.pairs {self.folder}"
        )
        if not recorded.differ:
            print(
                "Both episodes of a pair look the same: the environment has no distractions, or "
                "does not know the option distraction_seed of its reset."
            )
        return 0
