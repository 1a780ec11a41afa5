"""``core-repr record``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from core_repr.commands.environment import EnvironmentChanges, Import, open_agent
from core_repr.commands.numbers import at_least


@dataclass
class Record:
    """Records episodes of a model's agent as a data set of Minari's.

    It lies in ~/.minari/datasets, or where MINARI_DATASETS_PATH says.

    Attributes:
        model: A zoo name, a folder, such as a run's model folder, or a Hub repository, user/repo.
        dataset: Id of the new data set, such as cartpole/latents-v0; it must end in a version.
        observations: Latents of the model, pixels as the environment gives them, or both. What
            core-repr train --dataset learns from are pixels.
        episodes: How many.
        random_episodes: Share of episodes with random actions; the agent plays the others, with
            its exploration.
        seed: Seed of the first episode.
        split: Backgrounds of the training, or others.
        changes: What to change in the environment.
        import_: Module to import first, which registers the environment that the model was
            trained in.
    """

    model: tyro.conf.Positional[str]
    dataset: tyro.conf.Positional[str]
    observations: Literal["latents", "pixels", "both"] = "latents"
    episodes: int = 100
    random_episodes: float = 0.0
    seed: int = 0
    split: Literal["train", "val"] = "train"
    changes: Annotated[EnvironmentChanges, tyro.conf.arg(name="")] = field(
        default_factory=EnvironmentChanges
    )
    import_: Import = None

    def __call__(self) -> int:
        """Records the episodes."""
        from tqdm import tqdm

        from core_repr.agent import LatentAgent
        from core_repr.datasets.find import minari_folder
        from core_repr.datasets.recording import record_dataset
        from core_repr.wrappers import CoReWrapper

        at_least(1, episodes=self.episodes)
        at_least(0, seed=self.seed)
        agent, env = open_agent(self.model, self.changes, self.split, self.import_)
        player: Any = agent
        if self.observations != "pixels":
            pixels = agent.environment_config.pixels_key or "pixels"
            keep = [pixels] if self.observations == "both" else []
            # By its name, which the data set records.
            env = CoReWrapper(env, self.model, keep=keep)
            player = _OfLatents(LatentAgent(agent, env.action_space, self.seed))
        about = f"Episodes of {Path(self.model).name}, a model of core-repr."
        with tqdm(total=self.episodes, unit="episode") as bar:
            steps = record_dataset(
                env,
                self.dataset,
                player,
                self.episodes,
                self.random_episodes,
                self.seed,
                about,
                lambda: bar.update(),
            )
        env.close()
        place = minari_folder(self.dataset)
        print(f"{place} holds {self.episodes} episodes, {steps:,} agent steps")
        return 0


class _OfLatents:
    """An agent of latents, where observations may hold pixels beside them."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def predict(self, observation: Any, *args: Any, **options: Any) -> Any:
        latents = observation["latent"] if isinstance(observation, dict) else observation
        return self._agent.predict(latents, *args, **options)
