"""The command line: ``core-repr train | evaluate | demo | doctor``."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import tyro

from core_repr.config import PRESETS, AgentConfig, CoReConfig, LossConfig, WorldModelConfig

Difficulty = Literal["none", "easy", "medium", "hard"]


@dataclass
class DistractingControl:
    """The Distracting Control Suite environment.

    Attributes:
        task: One of ball_in_cup-catch, cartpole-swingup, cheetah-run, finger-spin, reacher-easy
            and walker-walk.
        difficulty: How far colours and camera stray, and how many background videos there are.
        dynamic: Distractions change during an episode instead of once an episode.
        backgrounds: "procedural", or a folder of videos or in DAVIS's layout.
        action_repeat: Simulator steps for each agent step; the paper's choice by default.
    """

    task: str = "cartpole-swingup"
    difficulty: Difficulty = "easy"
    dynamic: bool = True
    backgrounds: str = "procedural"
    action_repeat: int | None = None

    def arguments(self, frame_size: int) -> dict[str, Any]:
        """Returns the arguments of ``gym.make``."""
        arguments = {
            "difficulty": None if self.difficulty == "none" else self.difficulty,
            "dynamic": self.dynamic,
            "backgrounds": self.backgrounds,
            "frame_size": frame_size,
        }
        if self.action_repeat is not None:
            arguments["action_repeat"] = self.action_repeat
        return arguments

    @property
    def label(self) -> str:
        """A short name, such as cartpole-swingup-easy."""
        static = "" if self.dynamic or self.difficulty == "none" else "-static"
        return f"{self.task}-{self.difficulty}{static}"

    @property
    def id(self) -> str:
        """The Gymnasium id."""
        return f"distracting_control/{self.task}-v0"


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
        return 0


@dataclass
class Doctor:
    """Tells what works on this machine, and what to do about problems."""

    def __call__(self) -> int:
        """Runs the checks."""
        from core_repr import doctor

        return doctor.main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: What was typed; ``sys.argv[1:]`` by default.

    Returns:
        The exit status: 0 for success, 1 for an error, 130 when it was interrupted.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    command = tyro.cli(
        _commands(_preset(typed)),
        prog="core-repr",
        description="CoRe: robust representations for robot learning.",
        args=typed,
    )
    try:
        return int(command())
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, OSError, gym.error.Error) as error:
        print(f"core-repr: {error}", file=sys.stderr)
        return 1


def _preset(typed: Sequence[str]) -> CoReConfig:
    """The preset must be known first: the defaults of all other settings follow from it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="compact")
    name = "compact"
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        name = parser.parse_known_args(typed)[0].preset
    return PRESETS[name]()


def _commands(config: CoReConfig) -> Any:
    return tyro.extras.subcommand_type_from_defaults(
        {
            "train": Train(world_model=config.world_model, loss=config.loss, agent=config.agent),
            "doctor": Doctor(),
        }
    )
