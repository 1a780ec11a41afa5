"""``core-repr probe``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from core_repr.commands.environment import EnvironmentChanges, Import, import_module
from core_repr.commands.numbers import at_least
from core_repr.commands.threads import use_one_thread
from core_repr.files.secrets import redact


@dataclass
class Probe:
    """Measures what a model's latents know of the physics, and how distractions move them.

    Attributes:
        model: A zoo name or a folder, such as a run's model folder.
        episodes: Episodes to fit linear probes on, and as many with validation backgrounds to
            score them on.
        seed: Seed of the first episode.
        changes: What to change in the environment.
        import_: Module to import first, which registers the environment that the model was
            trained in.
        output: File to write the outcome to.
    """

    model: tyro.conf.Positional[str]
    episodes: int = 20
    seed: int = 0
    changes: Annotated[EnvironmentChanges, tyro.conf.arg(name="")] = field(
        default_factory=EnvironmentChanges
    )
    import_: Import = None
    output: Path | None = None

    def __call__(self) -> int:
        """Runs the probes."""
        from rich.console import Console
        from rich.table import Table
        from tqdm import tqdm

        from core_repr import zoo
        from core_repr.agent import load_agent
        from core_repr.environments import known_arguments, make_environment
        from core_repr.evaluation.probes import LEAST_EPISODES, probe
        from core_repr.files.json_files import write_outcome
        from core_repr.files.places import check_file

        at_least(LEAST_EPISODES, episodes=self.episodes)
        at_least(0, seed=self.seed)
        if self.output is not None:
            check_file(self.output)
        import_module(self.import_)
        use_one_thread()
        source = zoo.find(self.model)
        agent = load_agent(source, device="cpu")
        environment = agent.environment_config
        if "physics_state" not in known_arguments(environment):
            raise ValueError(
                f"{self.model} was trained in {environment.id}, which does not tell its physics: "
                "it has no argument physics_state, as the Distracting Control Suite has."
            )
        changes = [self.changes.apply(environment, split, source) for split in ("train", "val")]
        training, validation = (
            make_environment(environment, physics_state=True, **further) for further in changes
        )
        agent.set_env(training)
        with tqdm(total=3 * self.episodes, unit="episode") as bar:
            result = probe(agent, training, validation, self.episodes, self.seed, bar.update)
        table = Table(title=f"R² of linear probes of {self.model}", title_justify="left")
        table.add_column("quantity")
        for features in result.r2:
            table.add_column(features, justify="right")
        for name in result.r2["latent"]:
            table.add_row(name, *(f"{values[name]:.2f}" for values in result.r2.values()))
        table.add_section()
        table.add_row("mean", *(f"{result.mean_r2(features):.2f}" for features in result.r2))
        console = Console()
        console.print(table)
        console.print(
            "distance between latents of one state under two distractions, as a share of that "
            f"between different states: {result.invariance:.2f}",
            soft_wrap=True,
        )
        if self.output is not None:
            outcome = {"model": redact(self.model), **result.to_dict()}
            write_outcome(self.output, outcome)
        training.close()
        validation.close()
        return 0
