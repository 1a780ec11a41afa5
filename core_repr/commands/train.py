"""``core-repr train``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from core_repr.commands.environment import DistractingControl
from core_repr.config import AgentConfig, CoReConfig, LossConfig, WorldModelConfig


@dataclass
class Train:
    """Trains a world model together with its SAC agent.

    Attributes:
        run: Folder for the run, which must not hold one; by default, one under runs/ that is
            named after the environment and the seed.
        preset: Sizes and settings to start from: compact for a laptop's CPU, paper for a GPU.
        environment: Where to train.
        env_steps: Simulator steps, before action repeat.
        seed: Seeds everything that is random.
        evaluation_interval: Training episodes between two evaluations.
        evaluation_episodes: Episodes of an evaluation on the validation videos.
        device: "auto", "cpu" or "cuda".
        world_model: Sizes of the model.
        loss: Weights of its losses.
        agent: Settings of the agent and of learning.
    """

    run: Path | None = None
    preset: Literal["compact", "paper"] = "compact"
    environment: Annotated[DistractingControl, tyro.conf.arg(name="")] = field(
        default_factory=DistractingControl
    )
    env_steps: int = 500_000
    seed: int = 0
    evaluation_interval: int = 20
    evaluation_episodes: int = 5
    device: str = "auto"
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)

    def __call__(self) -> int:
        """Runs the training."""
        from core_repr.training import EnvironmentChoice, Schedule, train

        config = CoReConfig(self.world_model, self.loss, self.agent)
        arguments = self.environment.arguments(config.world_model.frame_size)
        choice = EnvironmentChoice(
            self.environment.id, arguments, {"split": "train"}, {"split": "val"}
        )
        schedule = Schedule(
            self.env_steps, self.seed, self.evaluation_interval, self.evaluation_episodes
        )
        run = self.run or Path("runs") / self.environment.label / f"seed-{self.seed}"
        train(choice, config, run, schedule, self.device)
        print(f"{run} holds the run; next: core-repr evaluate {run / 'model'}")
        return 0
