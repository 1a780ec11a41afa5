"""The command line: ``core-repr train | evaluate | demo | doctor``."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
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
Task = Literal[
    "ball_in_cup-catch",
    "cartpole-swingup",
    "cheetah-run",
    "finger-spin",
    "reacher-easy",
    "walker-walk",
]


@dataclass
class DistractingControl:
    """The Distracting Control Suite environment.

    Attributes:
        task: What the agent has to learn.
        difficulty: How far colours and camera stray, and how many background videos there are.
        dynamic: Distractions change during an episode instead of once an episode.
        backgrounds: "procedural", or a folder of videos or in DAVIS's layout.
        action_repeat: Simulator steps for each agent step; the paper's choice by default.
    """

    task: Task = "cartpole-swingup"
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
        print(f"{run} holds the run; next: core-repr evaluate {run / 'model'}")
        return 0


@dataclass
class Evaluate:
    """Evaluates the agent of a model with its deterministic policy.

    Attributes:
        model: A zoo name or a folder, such as a run's model folder.
        episodes: How many; episode i is seeded with seed + i.
        seed: Seed of the first episode.
        split: Backgrounds of the training, or validation backgrounds, which it has not seen.
        difficulty: Instead of the one that the model was trained with.
        backgrounds: Instead of those that the model was trained with.
        output: File to write the outcome to, with every episode's return.
        video: File to write one more episode to, ending in .mp4.
    """

    model: tyro.conf.Positional[str]
    episodes: int = 30
    seed: int = 0
    split: Literal["train", "val"] = "val"
    difficulty: Difficulty | None = None
    backgrounds: str | None = None
    output: Path | None = None
    video: Path | None = None

    def __call__(self) -> int:
        """Runs the evaluation."""
        from rich.console import Console
        from tqdm import tqdm

        from core_repr import zoo
        from core_repr.agent import CoReSAC
        from core_repr.evaluation import evaluate, make_environment, record_episode

        _use_one_thread()
        agent = CoReSAC.from_pretrained(zoo.find(self.model), device="cpu")
        changes: dict[str, Any] = {"split": self.split}
        if self.difficulty is not None:
            changes["difficulty"] = None if self.difficulty == "none" else self.difficulty
        if self.backgrounds is not None:
            changes["backgrounds"] = self.backgrounds
        environment = agent.environment_config
        env = make_environment(environment, render_mode="rgb_array", **changes)
        with tqdm(total=self.episodes, unit="episode") as bar:
            result = evaluate(
                agent, env, self.episodes, self.seed, progress=lambda *_: bar.update()
            )
        console = Console()
        arguments = {**environment.arguments, **changes}
        console.print(f"{environment.id} with {arguments}", soft_wrap=True)
        console.print(
            f"return {result.mean:.1f} ± {result.standard_error:.1f} "
            f"(mean ± standard error, {self.episodes} episodes, "
            f"seeds {self.seed} to {self.seed + self.episodes - 1}, deterministic policy)",
            soft_wrap=True,
        )
        if self.output is not None:
            outcome = {
                "model": self.model,
                "environment": {"id": environment.id, "arguments": arguments},
                "deterministic": True,
                **result.to_dict(),
            }
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self.output.write_text(json.dumps(outcome, indent=2) + "\n")
        if self.video is not None:
            console.print(f"video: {record_episode(agent, env, self.video, self.seed)}")
        env.close()
        return 0


@dataclass
class Demo:
    """Shows a shipped model at work, and trains SB3's SAC from nothing on its latents.

    Attributes:
        model: A zoo name or a folder, such as a run's model folder.
        folder: Where video, learning curve and results go.
        env_steps: Simulator steps to train SB3's SAC for.
        episodes: Episodes of each evaluation.
        seed: Seeds everything that is random.
    """

    model: tyro.conf.Positional[str] = "cartpole-swingup-easy-v0"
    folder: Path = Path("demo")
    env_steps: int = 40_000
    episodes: int = 10
    seed: int = 0

    def __call__(self) -> int:
        """Runs the demo."""
        from core_repr.demo import demo

        _use_one_thread()
        demo(self.model, self.folder, self.env_steps, self.episodes, self.seed)
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
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
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
    except (ValueError, TypeError, OSError, ArithmeticError, gym.error.Error) as error:
        print(f"core-repr: {error}", file=sys.stderr)
        return 1


def _use_one_thread() -> None:
    """One frame at a time is too little work for two threads, which then wait for each other."""
    import torch

    torch.set_num_threads(1)


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
            "evaluate": Evaluate(tyro.MISSING),
            "demo": Demo(),
            "doctor": Doctor(),
        }
    )
