"""``core-repr picture``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from core_repr.commands.environment import EnvironmentChanges, Import, import_module
from core_repr.commands.numbers import at_least
from core_repr.commands.progress import progress_bars
from core_repr.commands.threads import use_one_thread


@dataclass
class Picture:
    """Draws what a model sees, expects and imagines of episodes on validation backgrounds.

    A decoder learns to draw the clean frames of training episodes from their latent states; it
    leaves the model as it is. Below the frame, the picture shows what it draws of the latent state,
    of the state that the model expected before it saw the frame, and of what the model imagines
    after its first ten frames, told nothing but the actions; and the mask of a model with a gating
    network.

    Attributes:
        model: A zoo name or a folder, such as a run's model folder.
        output: Where to: a .png shows moments of one episode from left to right, a .mp4 a column
            for each of some episodes.
        episodes: Episodes that a video shows.
        seed: Seed of the first of them.
        training_episodes: Episodes that the decoder learns from.
        updates: How often it does so.
        changes: What to change in the environment.
        import_: Module to import first, which registers the environment that the model was
            trained in.
    """

    model: tyro.conf.Positional[str]
    output: tyro.conf.Positional[Path]
    episodes: int = 4
    seed: int = 0
    training_episodes: int = 20
    updates: int = 1_000
    changes: Annotated[EnvironmentChanges, tyro.conf.arg(name="")] = field(
        default_factory=EnvironmentChanges
    )
    import_: Import = None

    def __call__(self) -> int:
        """Draws the picture."""
        from core_repr import zoo
        from core_repr.agent import load_agent
        from core_repr.environments import known_arguments, make_environment
        from core_repr.envs.pace import agent_steps_per_second
        from core_repr.evaluation import pictures
        from core_repr.evaluation.recording import FPS

        at_least(
            1,
            episodes=self.episodes,
            training_episodes=self.training_episodes,
            updates=self.updates,
        )
        at_least(0, seed=self.seed)
        pictures.check_place(self.output)
        use_one_thread()
        import_module(self.import_)
        source = zoo.find(self.model)
        agent = load_agent(source, device="cpu")
        environment = agent.environment_config
        clean = {"clean_frames": True} if "clean_frames" in known_arguments(environment) else {}
        changes = [self.changes.apply(environment, split, source) for split in ("train", "val")]
        training, validation = (
            make_environment(environment, **clean, **further) for further in changes
        )
        shown = self.episodes if self.output.suffix == ".mp4" else 1
        with progress_bars() as progress:
            episodes = pictures.see(
                agent,
                training,
                validation,
                episodes=shown,
                seed=self.seed,
                training_episodes=self.training_episodes,
                updates=self.updates,
                progress=progress,
            )
        pictures.write(self.output, episodes, agent_steps_per_second(validation, FPS))
        training.close()
        validation.close()
        print(f"{self.output} shows {self.model}")
        return 0
